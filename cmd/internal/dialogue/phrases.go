package dialogue

import (
	"fmt"
	"strings"
	"time"
)

var phrases = append(append(append([]phrase{}, givenPhrases...), speakerPhrases...), worldPhrases...)

var speakerPhrases = []phrase{
	{form(`(\S+) opens a connection(?: over (direct TLS|WebSocket|BOSH))?(?: (1\.[0-3]))?`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.open(arg[0], portOf(arg[1]), arg[2]) })
	}},
	{form(`(\S+) opens a stream(?: to (\S+))?`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.openStream(arg[0], arg[1]) })
	}},
	{form(`(\S+) starts TLS(?: (1\.[0-3]))?`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.startTLS(arg[0], arg[1]) })
	}},
	{form(`(\S+) is refused TLS (1\.[0-3])`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.refusedTLS(arg[0], arg[1]) })
	}},
	{form(`(\S+) secures the stream(?: over (direct TLS|WebSocket|BOSH))?(?: with TLS (1\.[0-3]))?`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.secure(arg[0], portOf(arg[1]), arg[2]) })
	}},
	{form(`(\S+) tries ([A-Z0-9-]+)(?: with password "([^"]*)")?(?: as "([^"]*)")?(?: for (\S+))?(?: bound to (\S+))?`), noBlock,
		func(s *script, at step, arg []string) error {
			l := login{mechanism: arg[1], password: arg[2], user: arg[3], authzid: arg[4], binding: arg[5]}
			return s.by(arg[0], at, func(p *play) error { return p.try(arg[0], l) })
		}},
	{form(`(\S+) logs in(?: with ([A-Z0-9-]+))?(?: over (direct TLS|WebSocket|BOSH))?`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.logIn(arg[0], arg[1], portOf(arg[2])) })
	}},
	{form(`(\S+) connects(?: with ([A-Z0-9-]+))?(?: over (direct TLS|WebSocket|BOSH))?`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.connect(arg[0], arg[1], portOf(arg[2])) })
	}},
	{form(`(\S+) comes online(?: over (direct TLS|WebSocket|BOSH))?(?: with priority (-?\d+))?`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.comeOnline(arg[0], arg[2], portOf(arg[1])) })
	}},
	{form(`(\S+) disconnects`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.disconnect(arg[0]) })
	}},
	{form(`(\S+)'s connection drops`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.drop(arg[0]) })
	}},
	{form(`(\S+) sends:`), needsBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.send(arg[0], arg[1]) })
	}},
	{form(`(\S+) sends raw:`), needsBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.sendRaw(arg[0], arg[1]) })
	}},
	{form(`(\S+) receives:`), needsBlock, func(s *script, at step, arg []string) error {
		return s.hearing(arg[0], at, arg[1], func(p *play, ps []*pattern) error { return p.receive(arg[0], ps) })
	}},
	{form(`(\S+) receives in any order:`), needsBlock, func(s *script, at step, arg []string) error {
		return s.hearing(arg[0], at, arg[1], func(p *play, ps []*pattern) error { return p.receiveAny(arg[0], ps) })
	}},
	{form(`(\S+) is offered:`), needsBlock, func(s *script, at step, arg []string) error {
		return s.hearing(arg[0], at, arg[1], func(p *play, ps []*pattern) error { return p.offered(arg[0], ps) })
	}},
	{form(`(\S+) is not offered:`), needsBlock, func(s *script, at step, arg []string) error {
		return s.hearing(arg[0], at, arg[1], func(p *play, ps []*pattern) error { return p.notOffered(arg[0], ps) })
	}},
	{form(`(\S+) hears nothing`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.hearNothing(arg[0]) })
	}},
	{form(`(\S+) ignores (presence|messages)`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.ignore(arg[0], arg[1]) })
	}},
	{form(`(\S+) is disconnected`), noBlock, func(s *script, at step, arg []string) error {
		return s.by(arg[0], at, func(p *play) error { return p.disconnected(arg[0]) })
	}},
}

func portOf(over string) Port {
	if over != "" {
		return Port(over)
	}
	return STARTTLS
}

var worldPhrases = []phrase{
	{form(`everyone settles`), noBlock, func(s *script, at step, arg []string) error {
		return s.step(at, func(p *play) error { return p.settle() })
	}},
	{form(`time passes (\S+)`), noBlock, func(s *script, at step, arg []string) error {
		d, err := time.ParseDuration(arg[0])
		if err != nil {
			return err
		}
		return s.step(at, func(p *play) error { return p.passTime(d) })
	}},
	{form(`the operator runs: (.+)`), mayHaveBlock, func(s *script, at step, arg []string) error {
		return s.step(at, func(p *play) error { return p.operate(arg[0], arg[1]) })
	}},
	{form(`the operator cannot run: (.+)`), mayHaveBlock, func(s *script, at step, arg []string) error {
		return s.step(at, func(p *play) error { return p.operateInVain(arg[0], arg[1]) })
	}},
	{form(`the operator reads:`), needsBlock, func(s *script, at step, arg []string) error {
		return s.step(at, func(p *play) error { return p.reads(arg[0]) })
	}},
	{form(`the server (stops|starts)`), noBlock, func(s *script, at step, arg []string) error {
		return s.step(at, func(p *play) error {
			if arg[0] == "starts" {
				return p.server.Start()
			}
			return p.server.Stop(Orderly)
		})
	}},
	{form(`the server restarts`), noBlock, func(s *script, at step, arg []string) error {
		return s.step(at, func(p *play) error { return p.restart(Orderly) })
	}},
	{form(`the server is killed`), noBlock, func(s *script, at step, arg []string) error {
		return s.step(at, func(p *play) error { return p.restart(Crash) })
	}},
}

// givenPhrases build the scene. They stand before the steps.
var givenPhrases = []phrase{
	{form(`Given domain (\S+)(?: with (.+))?`), noBlock, func(s *script, at step, arg []string) error {
		d := Domain{Name: arg[0]}
		for _, local := range names(arg[1]) {
			d.Users = append(d.Users, User{Local: local, Password: "pw-" + local})
		}
		s.scene.Domains = append(s.scene.Domains, d)
		return nil
	}},
	{form(`Given component (\S+)(?: of (\S+))?`), noBlock, func(s *script, at step, arg []string) error {
		home := arg[1]
		if home == "" && len(s.scene.Domains) > 0 {
			home = s.scene.Domains[0].Name
		}
		s.scene.Components = append(s.scene.Components, Component{Name: arg[0], Home: home, Secret: "secret-of-" + arg[0]})
		return nil
	}},
	{form(`Given setting (\S+) = (.+)`), noBlock, func(s *script, at step, arg []string) error {
		s.scene.Settings = append(s.scene.Settings, Setting{arg[0], arg[1]})
		return nil
	}},
	{form(`Given (\S+) is named (.+)`), noBlock, func(s *script, at step, arg []string) error {
		return s.aboutUser(arg[0], func(u *User) { u.Name = arg[1] })
	}},
	{form(`Given (\S+) is in (.+)`), noBlock, func(s *script, at step, arg []string) error {
		return s.aboutUser(arg[0], func(u *User) {
			for group := range strings.SplitSeq(arg[1], ",") {
				u.Groups = append(u.Groups, strings.TrimSpace(group))
			}
		})
	}},
	{form(`Given (\S+) is (hidden|disabled|an administrator)`), noBlock, func(s *script, at step, arg []string) error {
		return s.aboutUser(arg[0], func(u *User) {
			u.Hidden = u.Hidden || arg[1] == "hidden"
			u.Disabled = u.Disabled || arg[1] == "disabled"
			u.Admin = u.Admin || arg[1] == "an administrator"
		})
	}},
	{form(`Given (\S+) and (\S+) are contacts`), noBlock, func(s *script, at step, arg []string) error {
		for _, name := range arg[:2] {
			if s.scene.user(name) == nil {
				return fmt.Errorf("nobody is called %s", name)
			}
		}
		return s.step(at, func(p *play) error { return p.befriend(arg[0], arg[1]) })
	}},
	{form(`Given (.+) (?:is|are) online`), noBlock, func(s *script, at step, arg []string) error {
		return s.step(at, func(p *play) error {
			for _, who := range names(arg[0]) {
				if err := p.comeOnline(who, "", STARTTLS); err != nil {
					return err
				}
			}
			return p.settle()
		})
	}},
}
