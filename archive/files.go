package archive

import (
	"context"
	"strconv"
	"strings"

	"confab/xmpp"
)

const (
	nsFileMetadata = "urn:xmpp:file:metadata:0"             // XEP-0446
	nsJingleFile   = "urn:xmpp:jingle:apps:file-transfer:5" // XEP-0234
	nsURLDataTag   = "http://jabber.org/protocol/url-data"  // XEP-0103
)

// File is a file that a message names.
type File struct {
	URL       string
	Name      string
	MediaType string
	Size      int64 // -1: not told
}

// Files calls fn for the files in the messages that a search finds. A body that is nothing but an address in which
// Options.Links finds something is a file (XEP-0363).
func (u *Auditor) Files(ctx context.Context, s Search, fn func(*Entry, File) error) (Found, error) {
	s.Files = true
	return u.Search(ctx, s, func(e *Entry) error {
		for _, f := range u.archive.files(e) {
			if err := fn(e, f); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *Archive) files(e *Entry) (found []File) {
	if e.Flags&HasFile != 0 {
		if st, err := xmpp.Parse(e.Stanza); err == nil {
			found = appendFiles(nil, st.Node())
		}
	}
	for _, t := range e.texts {
		t = strings.TrimSpace(t)
		if strings.Contains(t, "://") && !strings.ContainsAny(t, " \n\t") && len(a.linksOf([]byte(t))) > 0 {
			found = addFile(found, File{URL: t, Size: -1})
		}
	}
	return found
}

// appendFiles looks for files in an element and below it.
func appendFiles(found []File, n *xmpp.Node) []File {
	switch {
	case n.Is(xmpp.NSOOB, "x"): // XEP-0066 §3
		if url := n.Child(xmpp.NSOOB, "url"); url != nil {
			return addFile(found, File{URL: strings.TrimSpace(url.Text), Size: -1})
		}
	case n.Is(xmpp.NSFileShare, "file-sharing"): // XEP-0447 §3
		f := metadata(n.Child(nsFileMetadata, "file"))
		for _, source := range children(n.Child(xmpp.NSFileShare, "sources")) {
			if source.Is(nsURLDataTag, "url-data") {
				f.URL = source.Attr("target")
				found = addFile(found, f)
			}
		}
		return found
	case n.Is(nsMediaSharing, "media-sharing"): // XEP-0385 §3
		f := metadata(n.Child(nsJingleFile, "file"))
		for _, source := range children(n.Child(nsMediaSharing, "sources")) {
			if source.Local == "reference" {
				f.URL = source.Attr("uri")
				found = addFile(found, f)
			}
		}
		return found
	}
	for _, c := range n.Children {
		found = appendFiles(found, c)
	}
	return found
}

func children(n *xmpp.Node) []*xmpp.Node {
	if n == nil {
		return nil
	}
	return n.Children
}

// metadata reads what a message tells of a file; XEP-0446 and XEP-0234 name it alike.
func metadata(n *xmpp.Node) File {
	f := File{Size: -1}
	text := func(name string) string {
		if c := n.Child("", name); c != nil {
			return strings.TrimSpace(c.Text)
		}
		return ""
	}
	f.Name, f.MediaType = text("name"), text("media-type")
	if size, err := strconv.ParseInt(text("size"), 10, 64); err == nil && size >= 0 {
		f.Size = size
	}
	return f
}

// addFile adds a file that is not there already: clients name the same one in several ways, the most telling first or
// last.
func addFile(found []File, f File) []File {
	if f.URL == "" {
		return found
	}
	for i := range found {
		if found[i].URL == f.URL {
			if found[i].Name == "" {
				found[i].Name = f.Name
			}
			if found[i].MediaType == "" {
				found[i].MediaType = f.MediaType
			}
			if found[i].Size < 0 {
				found[i].Size = f.Size
			}
			return found
		}
	}
	return append(found, f)
}
