package logs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"confab/xmpp/xmpptest"
)

// opened is a log whose lines can be looked at.
type opened struct {
	*slog.Logger
	*Bounded
	clock *xmpptest.Clock
	text  bytes.Buffer
}

func open() *opened {
	o := &opened{clock: &xmpptest.Clock{}}
	o.Bounded = Bound(slog.NewTextHandler(&o.text, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}), o.clock)
	o.Logger = slog.New(o.Bounded)
	return o
}

// wrote checks the lines since it was last asked.
func (o *opened) wrote(t *testing.T, want ...string) {
	t.Helper()
	got := strings.Split(o.text.String(), "\n")
	o.text.Reset()
	if got = got[:len(got)-1]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("the log has\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAnErrorIsSaidOnceASecondForAllThatItStandsFor(t *testing.T) {
	o := open()
	refuse := func(n int, err error) {
		for range n {
			o.Error("refused", "error", err)
		}
	}
	refuse(1000, syscall.ENOSPC)
	refuse(2, errors.New("out of order"))
	o.wrote(t, `level=ERROR msg=refused error="no space left on device"`, `level=ERROR msg=refused error="out of order"`)
	if n := o.Stats.Errors.Load(); n != 1002 {
		t.Errorf("%d errors were counted, not 1002", n)
	}
	o.clock.Pass(time.Second)
	o.wrote(t, `level=ERROR msg=refused error="no space left on device" times=999`, `level=ERROR msg=refused error="out of order" times=1`)
	refuse(7, syscall.ENOSPC)
	o.wrote(t)
	o.clock.Pass(time.Second)
	o.wrote(t, `level=ERROR msg=refused error="no space left on device" times=7`)
	o.clock.Pass(time.Second)
	o.wrote(t)
	if n := o.clock.Timers(); n != 0 {
		t.Errorf("%d timers are set though it is over", n)
	}
	refuse(1, syscall.ENOSPC)
	o.wrote(t, `level=ERROR msg=refused error="no space left on device"`)
	if n := o.Stats.Withheld.Load(); n != 999+1+7 {
		t.Errorf("%d lines were withheld, not 1007", n)
	}
}

func TestEventsAreToldOneByOneWhileTheyAreFew(t *testing.T) {
	o := open()
	child := slog.New(o.WithAttrs([]slog.Attr{slog.String("part", "door")}))
	var want []string
	for i := range maxEvents + 3 {
		child.Info("changed", "user", i)
		if i < maxEvents {
			want = append(want, fmt.Sprintf("level=INFO msg=changed part=door user=%d", i))
		}
	}
	o.wrote(t, want...)
	o.Warn("changed") // of another level, so of another cause
	o.wrote(t, "level=WARN msg=changed")
	o.Flush()
	o.wrote(t, fmt.Sprintf("level=INFO msg=changed part=door user=%d times=3", maxEvents+2))
	for range 2 * maxEvents {
		o.Debug("everything")
	}
	if n := strings.Count(o.text.String(), "everything"); n != 2*maxEvents {
		t.Errorf("%d lines for debugging were written, not all", n)
	}
}

func TestCausesAreBounded(t *testing.T) {
	o := open()
	for i := range 100 * maxCauses {
		o.Error("refused", "error", fmt.Errorf("at %d", i))
	}
	if n := strings.Count(o.text.String(), "\n"); n != maxCauses {
		t.Errorf("%d lines were written at once, not %d", n, maxCauses)
	}
	o.text.Reset()
	o.clock.Pass(time.Second)
	o.wrote(t, fmt.Sprintf(`level=ERROR msg="too much goes wrong at once for a line about each" times=%d`, 99*maxCauses))
	o.clock.Pass(time.Second)
	if n := o.clock.Timers(); n != 0 {
		t.Errorf("%d timers are set though it is over", n)
	}
}
