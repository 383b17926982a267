package upload

import (
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"context"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/store"
)

// house is a server whose files are below a temporary folder.
type house struct {
	*featuretest.House
	*Uploads
	t      *testing.T
	limits Limits
	linked map[string]bool
	mux    *http.ServeMux
}

func open(t *testing.T) *house {
	h := &house{t: t, limits: Limits{File: 1000, Quota: 100_000}, linked: map[string]bool{}, mux: http.NewServeMux()}
	folder := filepath.Join(t.TempDir(), "upload")
	h.House = featuretest.New(t, func(host *feature.Host) []feature.Feature {
		h.Uploads = New(host, Options{
			Folder: folder,
			URL:    func(domain string) string { return "https://" + domain + ":5443" },
			Limits: func() Limits { return h.limits },
			Linked: func(_ context.Context, link string) (bool, error) { return h.linked[link], nil },
		})
		return []feature.Feature{h.Uploads.Feature()}
	})
	for _, r := range h.Table.Routes() {
		h.mux.Handle(r.Pattern, r.Handler)
	}
	return h
}

var slotForm = regexp.MustCompile(`<slot xmlns='urn:xmpp:http:upload:0'><put url='https://example\.com:5443(/upload/[a-z2-7]{32}/[^']*)'/><get url='https://example\.com:5443(/upload/[^']*)'/></slot>`)

// ask asks for a slot and returns the answer.
func (h *house) ask(p *featuretest.Person, attrs string) string {
	h.t.Helper()
	p.Sends("<iq type='get' id='1' to='upload.example.com'><request xmlns='urn:xmpp:http:upload:0' " + attrs + "/></iq>")
	got := p.Conn.Left()
	if len(got) != 1 {
		h.t.Fatalf("heard %q", got)
	}
	return got[0]
}

// slot asks for a slot and returns its path.
func (h *house) slot(p *featuretest.Person, attrs string) string {
	h.t.Helper()
	answer := h.ask(p, attrs)
	m := slotForm.FindStringSubmatch(answer)
	if m == nil || m[1] != m[2] {
		h.t.Fatalf("no slot: %s", answer)
	}
	return html.UnescapeString(m[1])
}

// onDisk lists the files that there are, halves included.
func (h *house) onDisk() (files []string) {
	h.t.Helper()
	err := filepath.WalkDir(h.opts.Folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	return files
}

// charged checks what a user's files are charged.
func (h *house) charged(who string, want int64) {
	h.t.Helper()
	if got, err := h.used(h.t.Context(), h.ID(who)); got != want || err != nil {
		h.t.Errorf("%s is charged %d, %v, not %d", who, got, err, want)
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	for _, attrs := range []string{
		"", "filename='a.jpg'", "size='10'", "filename='' size='10'", "filename='a.jpg' size=''", "filename='a.jpg' size='0'",
		"filename='a.jpg' size='-1'", "filename='a.jpg' size='+1'", "filename='a.jpg' size='1.5'", "filename='a.jpg' size='many'",
		"filename='..' size='10'", "filename='.' size='10'", "filename='../a.jpg' size='10'", "filename='/etc/passwd' size='10'",
		"filename='a\\b' size='10'", "filename='a&#9;b' size='10'", "filename='a&#x202e;gpj.exe' size='10'",
		"filename='" + strings.Repeat("ü", 128) + "' size='10'",
		"filename='a.jpg' size='10' content-type='image'", "filename='a.jpg' size='10' content-type='image/a/b'",
		"filename='a.jpg' size='10' content-type='image/jpeg&#13;&#10;Set-Cookie: x'", "filename='a.jpg' size='10' content-type='" + strings.Repeat("a/", 200) + "'",
	} {
		if got := h.ask(romeo, attrs); !strings.Contains(got, "<error type='modify'><bad-request ") {
			t.Errorf("%s: %s", attrs, got)
		}
	}
	for _, attrs := range []string{
		"filename='très &quot;cool&quot; &amp; &lt;b&gt;.jpg' size='10' content-type='image/jpeg'", "filename='" + strings.Repeat("ü", 127) + "' size='1000'",
		"filename='...' size='1' content-type=''", "filename='100%25 a+b;c.txt' size='1' content-type='text/plain; charset=iso-8859-1'",
	} {
		if path := h.slot(romeo, attrs); strings.ContainsAny(path, "'\"<>& ") {
			t.Errorf("%s: %s", attrs, path)
		}
	}
	// An address is as RFC 3986 wants it.
	if path := h.slot(romeo, "filename='très cool.jpg' size='10'"); !strings.HasSuffix(path, "/tr%C3%A8s%20cool.jpg") {
		t.Error(path)
	}
}

func TestTooLarge(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	for _, size := range []string{"1001", "99999999999999999999999999"} {
		romeo.Sends("<iq type='get' id='1' to='upload.example.com'><request xmlns='urn:xmpp:http:upload:0' filename='a' size='" + size + "'/></iq>")
		romeo.Hears("<iq type='error' id='1' from='upload.example.com' to='romeo@example.com/orchard'><error type='modify'>" +
			"<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" +
			"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>the file is too large: the largest size is 1000 bytes</text>" +
			"<file-too-large xmlns='urn:xmpp:http:upload:0'><max-file-size>1000</max-file-size></file-too-large></error></iq>")
	}
}

// Slots count against the quota until they expire; a stamp says when to come
// again.
func TestQuotaOfSlots(t *testing.T) {
	h := open(t)
	h.limits.Quota = 3 * block
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	for range 3 {
		h.slot(romeo, "filename='a' size='1000'")
		h.Clock.Pass(time.Second)
	}
	got := h.ask(romeo, "filename='a' size='1000'")
	for _, want := range []string{"<error type='wait'><resource-constraint ", "<retry xmlns='urn:xmpp:http:upload:0' stamp='2024-01-01T00:05:01Z'/>"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	h.slot(juliet, "filename='a' size='1000'") // has a quota of her own
	h.Clock.Pass(slotLife - 3*time.Second)
	h.slot(romeo, "filename='a' size='1000'")
	h.Clock.Pass(slotLife)
	if h.slots.mu.Lock(); len(h.slots.byID) != 0 || len(h.slots.owners) != 0 {
		t.Errorf("%d slots of %d users are left", len(h.slots.byID), len(h.slots.owners))
	}
	h.slots.mu.Unlock()

	h.limits.Quota = 1 << 40
	for range maxSlots {
		h.slot(romeo, "filename='a' size='1'")
	}
	if got := h.ask(romeo, "filename='a' size='1'"); !strings.Contains(got, "<retry ") {
		t.Error(got)
	}
}

func TestQuotaOfFiles(t *testing.T) {
	h := open(t)
	h.limits.Quota = 2 * block
	romeo := h.Online(t, "romeo@example.com/orchard")
	for range 2 {
		h.send(h.slot(romeo, "filename='a' size='3'"), "abc", 201)
	}
	h.charged("romeo@example.com", 2*block)
	if got := h.ask(romeo, "filename='a' size='1'"); !strings.Contains(got, "<resource-constraint ") || strings.Contains(got, "<retry ") {
		t.Error(got)
	}
	h.limits.Quota++ // not a whole file more
	if got := h.ask(romeo, "filename='a' size='1'"); !strings.Contains(got, "<resource-constraint ") {
		t.Error(got)
	}
	h.limits.Quota += block
	h.slot(romeo, "filename='a' size='1'")
}

// What is announced as the largest size can be sent.
func TestLargestIsTaken(t *testing.T) {
	h := open(t)
	h.limits = Limits{File: 1 << 20, Quota: 2*block + 100}
	romeo := h.Online(t, "romeo@example.com/orchard")
	if got := h.ask(romeo, fmt.Sprintf("filename='a' size='%d'", 2*block+1)); !strings.Contains(got, fmt.Sprintf("<max-file-size>%d</max-file-size>", 2*block)) {
		t.Error(got)
	}
	h.send(h.slot(romeo, fmt.Sprintf("filename='a' size='%d'", 2*block)), strings.Repeat("a", 2*block), 201)
}

// However slots were given away, no more is taken than the quota allows.
func TestQuotaIsKept(t *testing.T) {
	h := open(t)
	h.limits.Quota = 2 * block
	romeo := h.Online(t, "romeo@example.com/orchard")
	first, second := h.slot(romeo, "filename='a' size='3'"), h.slot(romeo, "filename='a' size='3'")
	h.limits.Quota = 2*block - 1 // of which a file takes whole blocks
	h.send(first, "abc", 201)
	h.send(second, "abc", 507)
	h.charged("romeo@example.com", block)
	if files := h.onDisk(); len(files) != 1 {
		t.Errorf("on disk: %q", files)
	}
}

func TestPurposes(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	for purpose, want := range map[string]string{"message": "<slot ", "profile": "<feature-not-implemented ", "ephemeral": "<feature-not-implemented ", "permanent": "<feature-not-implemented "} {
		romeo.Sends("<iq type='get' id='1' to='upload.example.com'><request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'><" + purpose + " xmlns='urn:xmpp:http:upload:purpose:0'/></request></iq>")
		if got := fmt.Sprint(romeo.Conn.Left()); !strings.Contains(got, want) {
			t.Errorf("%s: %s", purpose, got)
		}
	}
}

func TestOnlyTheServiceAnswers(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	for _, to := range []string{"upload.example.com/x", "x@upload.example.com", "example.com", "upload.capulet.example"} {
		romeo.Sends("<iq type='get' id='1' to='" + to + "'><request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'/></iq>")
		if got := fmt.Sprint(romeo.Conn.Left()); !strings.Contains(got, "<error ") {
			t.Errorf("%s: %s", to, got)
		}
	}
}

func TestAddresses(t *testing.T) {
	seen := map[ID]bool{}
	for range 100 {
		id := newID()
		if seen[id] {
			t.Error("an id came twice")
		}
		seen[id] = true
		if back, ok := parseID(id.String()); !ok || back != id || len(id.String()) != idLength {
			t.Errorf("%s: %v", id, ok)
		}
		if got := Links([]byte("<body>see https://h/x" + path(id, "a&b ü.png") + " and " + path(id, "b") + "</body>")); !slices.Equal(got, []string{id.String()}) {
			t.Errorf("links: %q", got)
		}
	}
	id := newID().String()
	for _, text := range []string{"", "/upload/", "/upload/" + id, "/upload/" + id[1:] + "/a", "/upload/" + strings.ToUpper(id) + "/a", "/upload/" + id[:31] + "1/", "/uploads/" + id + "/a", id} {
		if got := Links([]byte(text)); len(got) > 0 {
			t.Errorf("%s: %q", text, got)
		}
	}
	for _, text := range []string{"", id[:31], id + "a", strings.ToUpper(id), "../../../../../../../../etc/pas", id[:30] + "\n\n", id[:31] + "="} {
		if _, ok := parseID(text); ok {
			t.Errorf("%q is an id", text)
		}
	}
}

func TestRecord(t *testing.T) {
	f := File{ID: newID(), Owner: 300, Created: time.UnixMicro(1).UTC(), Size: 1 << 40, MediaType: "image/png", Name: "ü.png"}
	v := f.append(nil)
	if got, err := decodeFile(f.ID, v); got != f || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range len(v) - len(f.Name) {
		if _, err := decodeFile(f.ID, v[:i]); err == nil {
			t.Errorf("%d bytes of it were read", i)
		}
	}
}

// Files outlive their age as long as a message links them.
func TestSweep(t *testing.T) {
	h := open(t)
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	old, linked := h.slot(romeo, "filename='a' size='3'"), h.slot(romeo, "filename='b' size='3'")
	h.send(old, "abc", 201)
	h.send(linked, "abc", 201)
	h.linked[strings.Split(linked, "/")[2]] = true
	h.Clock.Pass(20 * 24 * time.Hour)
	young := h.slot(juliet, "filename='c' size='3'")
	h.send(young, "abc", 201)
	sweep := func(age time.Duration, want int) {
		t.Helper()
		if n, err := h.Sweep(t.Context(), age); n != want || err != nil {
			t.Errorf("%d files went, %v; not %d", n, err, want)
		}
	}
	sweep(0, 0)
	sweep(19*24*time.Hour, 0) // the message may be a little younger than its file
	h.Clock.Pass(2 * 24 * time.Hour)
	sweep(19*24*time.Hour, 1)
	h.fetch(old, 404)
	h.fetch(linked, 200)
	h.fetch(young, 200)
	h.charged("romeo@example.com", block)
	clear(h.linked)
	sweep(19*24*time.Hour, 1)
	h.fetch(linked, 404)
	h.charged("romeo@example.com", 0)
	if files := h.onDisk(); len(files) != 1 {
		t.Errorf("on disk: %q", files)
	}
}

func TestPurge(t *testing.T) {
	h := open(t)
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	var paths []string
	for i := range 5 {
		paths = append(paths, h.slot(romeo, fmt.Sprintf("filename='%d' size='3'", i)))
		h.send(paths[i], "abc", 201)
	}
	hers := h.slot(juliet, "filename='c' size='3'")
	h.send(hers, "abc", 201)
	h.linked[strings.Split(paths[2], "/")[2]] = true // somebody has a message with it
	if n, err := h.Purge(t.Context(), h.ID("romeo@example.com")); n != 4 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	h.fetch(paths[0], 404)
	h.fetch(paths[2], 200)
	h.fetch(hers, 200)
	h.charged("romeo@example.com", block)
}

// A sweep goes through more files than one transaction takes.
func TestSweepOfMany(t *testing.T) {
	h := open(t)
	err := h.State.Update(t.Context(), func(tx store.Tx) error {
		for i := range 2*atOnce + 7 {
			f := File{ID: newID(), Owner: directory.ID(i % 3), Created: h.Now(), Size: 1, Name: "a"}
			if err := tx.Put(spaceFile, f.ID[:], f.append(nil)); err != nil {
				return err
			}
			if err := addUsed(tx, f.Owner, charge(f.Size)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Clock.Pass(40 * 24 * time.Hour)
	if n, err := h.Sweep(t.Context(), 30*24*time.Hour); n != 2*atOnce+7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for o := range directory.ID(3) {
		if n, err := h.used(t.Context(), o); n != 0 || err != nil {
			t.Errorf("%d is charged %d, %v", o, n, err)
		}
	}
}

// What a crash left without a record goes, once it is old.
func TestStrays(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	kept := h.slot(romeo, "filename='a' size='3'")
	h.send(kept, "abc", 201)
	stray, fresh, foreign := h.place(newID()), h.place(newID()), filepath.Join(h.opts.Folder, "xx", "README")
	for _, path := range []string{stray, fresh, foreign} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id, _ := parseID(strings.Split(kept, "/")[2])
	for _, path := range []string{stray, foreign, h.place(id)} {
		if err := os.Chtimes(path, time.Time{}, h.Now().Add(-25*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	want := []string{fresh, foreign, h.place(id)}
	got := h.onDisk()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("left: %q, not %q", got, want)
	}
	half, err := h.half(newID())
	if err != nil {
		t.Fatal(err)
	}
	half.Close()
	if err := h.Uploads.Feature().Start(h.Host); err != nil || len(h.onDisk()) != 3 {
		t.Errorf("%v, left: %q", err, h.onDisk())
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("a.jpg", "10", "image/jpeg")
	f.Add("../a", "99999999999999999999", "text/plain; charset=\"\r\n\"")
	f.Add("ü\u202e", "0x1", "")
	f.Fuzz(func(t *testing.T, name, size, kind string) {
		b := append([]byte("<iq><request xmlns='urn:xmpp:http:upload:0'"), xmpp.AppendAttr(nil, "filename", name)...)
		b = xmpp.AppendAttr(xmpp.AppendAttr(b, "size", size), "content-type", kind)
		st, err := xmpp.Parse(append(b, "/></iq>"...))
		if err != nil {
			return
		}
		r, err := parseRequest(st.Payload().Node())
		if err != nil {
			return
		}
		if r.size <= 0 || r.name == "" || len(r.name) > maxName || strings.ContainsAny(r.name, "/\\\x00\r\n") || strings.ContainsAny(r.mediaType, "\r\n") {
			t.Fatalf("%+v", r)
		}
		id := newID()
		if links := Links([]byte(path(id, r.name))); len(links) != 1 || links[0] != id.String() {
			t.Fatalf("%q: %q", path(id, r.name), links)
		}
		u, err := http.NewRequest("GET", "https://example.com"+path(id, r.name), nil)
		if err != nil || u.URL.Path != "/upload/"+id.String()+"/"+r.name {
			t.Fatalf("%q: %v", path(id, r.name), err)
		}
		if text := disposition(File{Name: r.name, MediaType: r.mediaType}); strings.ContainsAny(text, "\r\n") {
			t.Fatalf("%q", text)
		}
	})
}
