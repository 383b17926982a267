package config

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; look at it, then run go test -update\n%s", path, got)
	}
}

func TestSample(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSample(&b, Default()); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.toml", b.Bytes())
	for i, line := range strings.Split(b.String(), "\n") {
		if len(line) > 100 {
			t.Errorf("line %d is %d characters long", i+1, len(line))
		}
	}
}

// The sample with every comment sign of a setting removed reads as the
// defaults: what it shows is true, and it is valid.
func TestSampleShowsTheDefaults(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSample(&b, Default()); err != nil {
		t.Fatal(err)
	}
	text := strings.Split(b.String(), "\n")
	for i, line := range text {
		if rest, ok := strings.CutPrefix(line, "#"); ok && rest != "" && rest[0] != ' ' {
			text[i] = rest
		}
	}
	l := load(t, strings.Join(text, "\n"), Source{})
	want := Default()
	want.Data = l.Data
	want.Domains = []string{}
	if !reflect.DeepEqual(l.Settings, want) {
		t.Errorf("got %+v, want %+v", l.Settings, want)
	}
	for _, f := range Fields(l.Settings) {
		if f.Doc == "" {
			t.Errorf("%s has no doc tag", f.Name)
		}
		if f.Name != "data" && !strings.HasPrefix(l.Origin[f.Name], l.File) {
			t.Errorf("%s comes from %q, want the file", f.Name, l.Origin[f.Name])
		}
	}
}

// write makes a settings file in a new folder and returns a source that reads
// it through --data.
func write(t *testing.T, text string, src Source) Source {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if src.Flags == nil {
		src.Flags = make(map[string]string)
	}
	src.Flags["data"] = dir
	return src
}

func load(t *testing.T, text string, src Source) *Loaded {
	t.Helper()
	l, err := write(t, text, src).Load()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPrecedence(t *testing.T) {
	text := "[log]\nlevel = 'warn'\nformat = 'json'\n[roster]\ndomain = 'groups'\n"
	l := load(t, text, Source{
		Env:   []string{"CONFAB_LOG_FORMAT=text", "CONFAB_ROSTER_DOMAIN=all", "HOME=/root"},
		Flags: map[string]string{"roster-domain": "off"},
	})
	if l.Log.Level != "warn" || l.Log.Format != "text" || l.Roster.Domain != RosterOff || l.Auth.Iterations != 10000 {
		t.Errorf("got %+v", l.Settings)
	}
	for name, want := range map[string]string{
		"log.level":       l.File + ":2:1",
		"log.format":      "CONFAB_LOG_FORMAT",
		"roster.domain":   "--roster-domain",
		"auth.iterations": "",
	} {
		if l.Origin[name] != want {
			t.Errorf("%s comes from %q, want %q", name, l.Origin[name], want)
		}
	}
}

// Every setting can be given as a variable and as a flag, in the form in which
// it is shown.
func TestEverySettingFromTextForm(t *testing.T) {
	s := Default()
	s.Domains = []string{"example.com", "example.org"}
	s.Archive.Retention.Duration = 400 * day
	s.Session.Resume.Duration = 36*time.Hour + 30*time.Minute
	s.Listen.TLS = []string{}
	s.Web.URL = "https://chat.example.com"
	s.Proxy.Host = "files.example.com"
	s.Contact.Status = []string{"https://status.example.com"}
	s.Policy.Terms, s.Policy.Info = "https://example.com/terms", "Ask us, we tell"
	s.Data = t.TempDir()
	var src Source
	for _, f := range Fields(s) {
		text := f.Text()
		if text == "" {
			text = "off"
		}
		src.Env = append(src.Env, f.Env()+"="+text)
	}
	l, err := src.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(l.Settings, s) {
		t.Errorf("got %+v\nwant %+v", l.Settings, s)
	}
	if len(l.Warnings) > 0 {
		t.Errorf("warnings: %q", l.Warnings)
	}
}

func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		src  Source
		want []string // in this order; %s is the file
	}{
		"unknown key":      {file: "[log]\nlevle = 'info'\n", want: []string{"%s:2:1: there is no setting log.levle; did you mean log.level?"}},
		"wrong table":      {file: "[log]\nretention = '40d'\n", want: []string{"%s:2:1: there is no setting log.retention; did you mean archive.retention?"}},
		"unknown table":    {file: "[federation]\nport = 1\n", want: []string{"there is no setting federation; 'confab config sample' shows all there are"}},
		"two unknown keys": {file: "domian = ['a']\nfoo = 1\n", want: []string{"%s:1:1: there is no setting domian; did you mean domains?", "%s:2:1: there is no setting foo;"}},
		"syntax":           {file: "domains = [\n", want: []string{"%s:"}},
		"wrong type":       {file: "[listen]\nstarttls = ':5222'\n", want: []string{"%s:2:12: listen.starttls: the value has the wrong type; it looks like this: starttls = [\":5222\"]"}},
		"list":             {file: "domains = 'example.com'\n", want: []string{`%s:1:11: domains: the value has the wrong type; it looks like this: domains = ["example.com"]`}},
		"list of tables":   {file: "[calls]\nservers = 'stun.example.com'\n", want: []string{`%s:2:11: calls.servers: the value has the wrong type; it looks like this: servers = [{name = "value"}]`}},
		"no table":         {file: "log = 'info'\n", want: []string{"%s:1:7: log: it is a table; write [log], and its settings below"}},
		"no unit":          {file: "[log]\nlevel = 'info'\n[session]\nresume = 600\n", want: []string{`%s:4:1: session.resume: "600" is no time: write a number with a unit`}},
		"no unit, inline":  {file: "archive = {retention = 365}\n", want: []string{`%s:1:1: archive.retention: "365" is neither forever nor`}},
		"bad choice":       {file: "\n[roster]\ndomain = 'everybody'\n", want: []string{`%s:3:1: roster.domain: "everybody" is not one of auto, all, groups or off`}},
		"bad duration":     {file: "[session]\nresume = '10 minutes'\n", want: []string{`%s:2:10: session.resume: "10 minutes" is no time`}},
		"short retention":  {file: "[archive]\nretention = '7d'\n", want: []string{"%s:2:13: archive.retention: 7d is too short: the history is kept for at least 30d"}},
		"bad size":         {file: "[limits]\nstanza = 'big'\n", want: []string{`%s:2:10: limits.stanza: "big" is no size`}},
		"variable":         {src: Source{Env: []string{"CONFAB_LIMITS_STANZA=1KiB"}}, want: []string{"CONFAB_LIMITS_STANZA: limits.stanza: 1KiB is too small"}},
		"endless duration": {file: "[session]\nresume = '65535d2562047h'\n", want: []string{`%s:2:10: session.resume: "65535d2562047h" is too long`}},
		"huge size":        {file: "[limits]\nout_buffer = '1000000000GiB'\nout_buffers = '1000000000GiB'\n", want: []string{"%s:2:1: limits.out_buffer: 1000000000GiB is too large, it must be at most 65536GiB"}},
		"huge number":      {file: "[limits]\nresume_stanzas = 9223372036854775807\n", want: []string{"%s:2:1: limits.resume_stanzas: 9223372036854775807 is too large, it must be at most 1000000000"}},
		"small total":      {file: "[limits]\nout_buffers = '100KiB'\n", want: []string{"%s:2:1: limits.out_buffers: 100KiB is less than limits.stanza, which is 256KiB"}},
		"flag":             {src: Source{Flags: map[string]string{"auth-iterations": "many"}}, want: []string{`--auth-iterations: "many" is no number`}},
		"few iterations":   {file: "[auth]\niterations = 1000", want: []string{"%s:2:1: auth.iterations: 1000 is out of bounds"}},
		"domain":           {file: "domains = ['alice@example.com']", want: []string{`%s:1:1: domains: "alice@example.com" is no domain name`}},
		"domain twice":     {file: "domains = ['example.com', 'Example.COM']", want: []string{"example.com is there twice"}},
		"listen":           {file: "[listen]\ntls = ['5223']", want: []string{`%s:2:1: listen.tls: "5223" is no listen address; write :5222`}},
		"same address":     {file: "[listen]\ntls = [':5222']", want: []string{":5222 is there twice"}},
		"no listener":      {file: "listen = {starttls = [], tls = []}", want: []string{"no client could connect"}},
		"web address":      {file: "[web]\nurl = 'http://chat.example.com'", want: []string{`%s:2:1: web.url: "http://chat.example.com" is no address of a web server`}},
		"web proxies":      {file: "[web]\nproxies = ['proxy.example.com']", want: []string{`%s:2:1: web.proxies: "proxy.example.com" is no address or network`}},
		"proxy, no name":   {file: "[listen]\nhttps = []\nhttp = ['127.0.0.1:5280']", want: []string{"web.url: it is empty"}},
		"keys":             {file: "[tls]\nkey = []", want: []string{"%s:2:1: tls.key: there are 1 certificates and 0 keys"}},
		"everything at once": {
			file: "[log]\nlevel = 'loud'\n[roster]\ndomain = 'x'\n",
			want: []string{"%s:2:1: log.level", "%s:4:1: roster.domain"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			src := write(t, c.file, c.src)
			_, err := src.Load()
			if err == nil {
				t.Fatal("no error")
			}
			rest := err.Error()
			for _, want := range c.want {
				want = strings.ReplaceAll(want, "%s", filepath.Join(src.Flags["data"], FileName))
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("got %q\nwant %q", err, want)
				}
				rest = after
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := (Source{File: filepath.Join(t.TempDir(), "none.toml")}).Load(); err == nil || !strings.Contains(err.Error(), "config sample") {
		t.Errorf("got %v", err)
	}
}

// A file elsewhere names the data folder; a relative one starts at the file.
func TestDataFolderFromFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "etc.toml")
	if err := os.WriteFile(file, []byte("data = 'var'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Source{Env: []string{"CONFAB_CONFIG=" + file}}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "var", "state.db"); l.StateDB() != want {
		t.Errorf("got %s, want %s", l.StateDB(), want)
	}
	other := t.TempDir()
	l, err = Source{File: file, Flags: map[string]string{"data": other}}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if l.Data != other {
		t.Errorf("got %s, want the flag's %s", l.Data, other)
	}
}

// An orchestrator's own CONFAB_ variables are no error; a typing mistake is
// worth a warning.
func TestUnknownVariables(t *testing.T) {
	l := load(t, "", Source{Env: []string{"CONFAB_DOMAIN=example.com", "CONFAB_PORT_5222_TCP_PROTO=tcp"}})
	if len(l.Warnings) != 1 || !strings.Contains(l.Warnings[0], "CONFAB_DOMAINS would") {
		t.Errorf("got %q", l.Warnings)
	}
}

func TestChanges(t *testing.T) {
	a, b := Default(), Default()
	b.Log.Level = "debug"
	b.Listen.TLS = []string{":443"}
	live, restart := Changes(a, b)
	if !slices.Equal(live, []string{"log.level"}) || !slices.Equal(restart, []string{"listen.tls"}) {
		t.Errorf("got %q and %q", live, restart)
	}
}

func TestPrepare(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "confab")
	src := Source{Flags: map[string]string{"data": dir, "domains": "example.com,bücher.example", "listen-starttls": "127.0.0.1:0"}}
	l, err := src.Load()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	made, err := l.Prepare(now)
	if err != nil {
		t.Fatal(err)
	}
	if made != (Prepared{Folder: true, File: true, Certificate: true}) {
		t.Errorf("made %+v", made)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, "tls": 0o700, "tls/key.pem": 0o600, FileName: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), mode)
		}
	}
	certs, err := LoadCertificates(l.Settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range l.Domains {
		if err := certs.For(domain).Leaf.VerifyHostname(ASCII(domain)); err != nil {
			t.Error(err)
		}
	}
	if w := certs.Warnings(l.Domains, now); len(w) != 2 || !strings.Contains(w[0], "self-signed") {
		t.Errorf("warnings %q", w)
	}
	if w := certs.Warnings(l.Domains, now.Add(-2*time.Hour)); len(w) != 2 || !strings.Contains(w[0], "is good from ") {
		t.Errorf("warnings before its time %q", w)
	}

	// The second start needs no flags, and makes nothing.
	again, err := Source{Flags: map[string]string{"data": dir}}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Settings, l.Settings) {
		t.Errorf("the file reads as %+v, want %+v", again.Settings, l.Settings)
	}
	if made, err := again.Prepare(now); err != nil || made != (Prepared{}) {
		t.Errorf("made %+v, %v", made, err)
	}
}

// A key whose certificate cannot be written is not left: it would be taken for the administrator's own.
func TestPrepareLeavesNoKeyAlone(t *testing.T) {
	l, err := Source{Flags: map[string]string{"data": t.TempDir(), "domains": "example.com"}}.Load()
	if err != nil {
		t.Fatal(err)
	}
	certificate := l.Path(l.TLS.Certificate[0])
	if err := errors.Join(os.Mkdir(filepath.Dir(certificate), 0o700), os.Symlink("nowhere", certificate)); err != nil {
		t.Fatal(err)
	}
	if made, err := l.Prepare(time.Now()); err == nil || made.Certificate {
		t.Fatalf("%+v, %v", made, err)
	}
	if err := os.Remove(certificate); err != nil {
		t.Fatal(err)
	}
	if made, err := l.Prepare(time.Now()); err != nil || !made.Certificate {
		t.Errorf("the next time: %+v, %v", made, err)
	}
	if _, err := LoadCertificates(l.Settings); err != nil {
		t.Error(err)
	}
}

// Some editors begin a file with a mark that says how it is written.
func TestByteOrderMark(t *testing.T) {
	if l := load(t, "\ufeffdomains = ['example.com']\n", Source{}); len(l.Domains) != 1 {
		t.Errorf("got %+v", l.Settings)
	}
}

func TestOutBuffers(t *testing.T) {
	l := load(t, "[limits]\nout_buffers = '512KiB'\n", Source{})
	if len(l.Warnings) != 1 || !strings.Contains(l.Warnings[0], "limits.out_buffers, 512KiB for all clients together, is less than limits.out_buffer, 1MiB for one") {
		t.Errorf("got %q", l.Warnings)
	}
}

// A folder in whose name the control socket would find no room is told before anything is made there.
func TestPrepareNeedsRoomForTheSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	l, err := Source{Flags: map[string]string{"data": dir, "domains": "example.com"}}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Prepare(time.Now()); err == nil || !strings.Contains(err.Error(), "data: the name of the data folder is ") || exists(dir) {
		t.Errorf("got %v, made %v", err, exists(dir))
	}
	short := dir[:len(dir)-len(l.NewControlSocket())+107] // sockaddr_un, unix(7)
	for name, room := range map[string]bool{short: true, short + "x": false} {
		l.Data = name
		if err := l.CheckServed(); (err == nil) != room {
			t.Errorf("%d bytes: %v", len(l.NewControlSocket()), err)
		}
	}
}

func TestPrepareNeedsADomain(t *testing.T) {
	l := load(t, "", Source{})
	if _, err := l.Prepare(time.Now()); err == nil || !strings.Contains(err.Error(), "--domains") {
		t.Errorf("got %v", err)
	}
}

func TestDurations(t *testing.T) {
	for _, text := range []string{"0s", "30s", "10m", "12h", "1h30m", "1m5s", "30d", "1d12h", "100ms"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if d.String() != text {
			t.Errorf("%s reads and writes as %s", text, d)
		}
	}
	for _, text := range []string{"", "d", "10", "-1s", "-1d", "1.5d", "1d-1s", "99999999d"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q reads as %s", text, d)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"10": 10, "10B": 10, "3KiB": 3072, "3 kB": 3000, "2MB": 2e6, "1GiB": GiB} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s reads as %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "9999999999GiB", "1TiB"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q reads as %s", text, s)
		}
	}
}
