package archive

import (
	"regexp"
	"testing"
	"time"

	"confab/xmpp/directory"
)

var uploadForm = regexp.MustCompile(`https://upload\.example\.com/(\w+)`)

// uploads finds links as the tests write them.
func uploads(stanza []byte) (links []string) {
	for _, m := range uploadForm.FindAllSubmatch(stanza, -1) {
		links = append(links, string(m[1]))
	}
	return links
}

func (h *house) linked(t *testing.T, link string, want bool) {
	t.Helper()
	if got, err := h.Linked(t.Context(), link); got != want || err != nil {
		t.Errorf("%s is linked: %v, %v", link, got, err)
	}
}

// Something is linked as long as a message that links it is in somebody's archive.
func TestLinked(t *testing.T) {
	h := open(t, t.TempDir())
	h.linked(t, "a", false)
	h.keep(message(romeo, juliet, "https://upload.example.com/a"), message(romeo, juliet, "no link"))
	h.clock.Pass(40 * 24 * time.Hour)
	h.keep(message(romeo, romeo, "https://upload.example.com/b and https://upload.example.com/a again https://upload.example.com/a"))
	h = h.reopen()
	h.clock.Pass(40 * 24 * time.Hour)
	h.linked(t, "a", true)
	h.linked(t, "b", true)
	h.linked(t, "", false)

	// The first message goes, the second still has the link.
	if n, err := h.Retain(t.Context(), MinRetention); n != 2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	h.linked(t, "a", true)
	for _, owner := range []directory.ID{juliet, romeo} {
		if _, err := h.Purge(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
		h.linked(t, "a", owner == juliet)
		h.linked(t, "b", owner == juliet)
	}
	if n := records(h, spaceLink); n != 0 {
		t.Errorf("%d records are left", n)
	}
}
