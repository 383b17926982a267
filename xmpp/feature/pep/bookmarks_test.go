package pep

import (
	"testing"

	"confab/xmpp"
)

func FuzzBookmark(f *testing.F) {
	f.Add([]byte("<conference xmlns='urn:xmpp:bookmarks:1' name='a' autojoin='1'><nick>n</nick><extensions><x xmlns='urn:x'/></extensions></conference>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := xmpp.ParseNode(b)
		if err != nil || !n.Is(nodeBookmarks, "conference") {
			return
		}
		is := readBookmark(n)
		old, err := xmpp.ParseNode(appendLegacy([]byte("<storage xmlns='storage:bookmarks'>"), "a@b", &is)[len("<storage xmlns='storage:bookmarks'>"):])
		if err != nil {
			t.Fatal(err)
		}
		old.Space = nodeLegacy
		for _, c := range old.Children {
			c.Space = nodeLegacy
		}
		was := readBookmark(old)
		back, err := xmpp.ParseNode(was.write(n).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if again := readBookmark(back); !again.same(&is) {
			t.Errorf("%s became %s", b, back.Append(nil))
		}
	})
}
