//go:build prosody

package dialogue

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var scripts = flag.String("scripts", "../server/testdata", "the scripts to play")

// TestProsody plays the scripts against Debian's prosody, as a second opinion on what they expect:
//
//	go test -tags prosody -run Prosody ./cmd/internal/dialogue
func TestProsody(t *testing.T) {
	if _, err := exec.LookPath("prosody"); err != nil {
		t.Skip(err)
	}
	Run(t, *scripts, startProsody)
}

// noLang takes back that prosody puts its own language on what clients send without any.
const noLang = `module:set_global()
local filters, st = require "util.filters", require "util.stanza"
filters.add_filter_hook(function(session)
	filters.add_filter(session, "stanzas/out", function(s)
		if st.is_stanza(s) and s.attr["xml:lang"] == "en" then s = st.clone(s) s.attr["xml:lang"] = nil end
		return s
	end)
end)`

type prosody struct {
	t     testing.TB
	dir   string
	ports map[Port]string
	roots *x509.CertPool
	cmd   *exec.Cmd
	dead  bool
}

func startProsody(t testing.TB, s Scene) Server {
	p := &prosody{t: t, dir: t.TempDir(), ports: map[Port]string{STARTTLS: freePort(t), DirectTLS: freePort(t)}, roots: x509.NewCertPool()}
	if len(s.Components) > 0 {
		t.Skip("prosody has no components here")
	}
	roster := "everybody"
	var config strings.Builder
	for _, x := range s.Settings {
		if x.Key != "roster.domain" {
			t.Skipf("prosody has no setting %s", x.Key)
		}
		roster = strings.Trim(x.Value, `"`)
	}
	modules := `"nolang","roster","saslauth","tls","disco","carbons","mam","smacks","ping","time","version","offline","lastactivity","pep","blocklist","private"`
	if roster != "off" {
		modules += `,"groups"`
	}
	_, starttls, _ := net.SplitHostPort(p.ports[STARTTLS])
	_, direct, _ := net.SplitHostPort(p.ports[DirectTLS])
	fmt.Fprintf(&config, "run_as_root=true\ndaemonize=false\npidfile=%q\ndata_path=%q\nlog={debug=%q}\n", p.dir+"/pid", p.dir+"/data", p.dir+"/log")
	fmt.Fprintf(&config, "interfaces={\"127.0.0.1\"}\nc2s_ports={%s}\nc2s_direct_tls_ports={%s}\ns2s_ports={}\nhttp_ports={}\nhttps_ports={}\n", starttls, direct)
	fmt.Fprintf(&config, "ssl={key=%q;certificate=%q}\nc2s_direct_tls_ssl=ssl\nauthentication=\"internal_plain\"\nc2s_require_encryption=true\n", p.dir+"/key", p.dir+"/cert")
	fmt.Fprintf(&config, "modules_enabled={%s}\ndefault_archive_policy=true\ngroups_file=%q\nplugin_paths={%q}\n", modules, p.dir+"/groups", p.dir)
	groups := "[Everybody]\n"
	var domains []string
	for _, d := range s.Domains {
		fmt.Fprintf(&config, "VirtualHost %q\n", d.Name)
		domains = append(domains, d.Name)
		folder := filepath.Join(p.dir, "data", strings.NewReplacer(".", "%2e", "-", "%2d").Replace(d.Name), "accounts")
		p.ok(os.MkdirAll(folder, 0o755))
		for _, u := range d.Users {
			if u.Hidden || u.Disabled || u.Admin {
				t.Skip("prosody's users are plain here")
			}
			groups += u.Local + "@" + d.Name + "=" + u.Name + "\n"
			p.ok(os.WriteFile(filepath.Join(folder, u.Local+".dat"), fmt.Appendf(nil, "return {[\"password\"]=%q;};", u.Password), 0o644))
		}
	}
	p.ok(os.WriteFile(p.dir+"/mod_nolang.lua", []byte(noLang), 0o644))
	p.ok(os.WriteFile(p.dir+"/groups", []byte(groups), 0o644))
	p.ok(os.WriteFile(p.dir+"/prosody.cfg.lua", []byte(config.String()), 0o644))
	p.certificate(domains)
	p.ok(p.Start())
	t.Cleanup(func() {
		if !p.dead {
			p.ok(p.Stop(Crash))
		}
	})
	return p
}

func (p *prosody) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *prosody) certificate(domains []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.ok(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: domains, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	p.ok(err)
	cert, err := x509.ParseCertificate(der)
	p.ok(err)
	p.roots.AddCert(cert)
	keyDER, err := x509.MarshalECPrivateKey(key)
	p.ok(err)
	p.ok(os.WriteFile(p.dir+"/key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	p.ok(os.WriteFile(p.dir+"/cert", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
}

func (p *prosody) Addr(kind Port) string { return p.ports[kind] }
func (p *prosody) Roots() *x509.CertPool { return p.roots }
func (p *prosody) Now() time.Time        { return time.Now() }
func (p *prosody) Advance(time.Duration) { p.t.Skip("prosody's time cannot be moved") }

func (p *prosody) Operate(stdin string, args ...string) (string, error) {
	p.t.Skip("prosody has other commands")
	return "", nil
}

func (p *prosody) Stop(how How) error {
	p.dead = true
	if how == Orderly {
		p.ok(p.cmd.Process.Signal(syscall.SIGTERM))
	} else {
		p.ok(p.cmd.Process.Kill())
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

func (p *prosody) Start() error {
	p.cmd = exec.Command("prosody", "-F", "--config", p.dir+"/prosody.cfg.lua")
	console, err := os.Create(p.dir + "/console")
	p.ok(err)
	p.cmd.Stdout, p.cmd.Stderr = console, console
	p.ok(p.cmd.Start())
	p.dead = false
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		c, err := net.Dial("tcp", p.ports[DirectTLS])
		if err == nil {
			c.Close()
			return nil
		}
	}
	out, err := os.ReadFile(p.dir + "/console")
	return errors.Join(err, fmt.Errorf("prosody does not start: %s", out))
}
