package upload

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"net/url"
	"slices"
	"strings"
)

// ID is the unguessable part of an address, and the name of the file on disk.
type ID [20]byte

const idLength = 32 // characters of its text

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func newID() (id ID) {
	rand.Read(id[:]) // never fails
	return id
}

func (id ID) String() string { return idEncoding.EncodeToString(id[:]) }

func parseID(text string) (id ID, ok bool) {
	if len(text) != idLength {
		return id, false
	}
	n, err := idEncoding.Decode(id[:], []byte(text))
	return id, err == nil && n == len(id)
}

// path is the path of a file's address. Only unreserved letters stand as they
// are (§4; RFC 3986 §2.3): addresses have to survive being typed into messages.
func path(id ID, name string) string {
	return "/" + label + "/" + id.String() + "/" + strings.NewReplacer("+", "%2B", "$", "%24", "&", "%26", "=", "%3D", ":", "%3A", "@", "%40").Replace(url.PathEscape(name))
}

var linkStart = []byte("/" + label + "/")

// Links finds the files that a stanza, or any text, names by their addresses,
// whatever the host in front: that may have changed since.
func Links(stanza []byte) (links []string) {
	for {
		i := bytes.Index(stanza, linkStart)
		if i < 0 {
			return links
		}
		stanza = stanza[i+len(linkStart):]
		if len(stanza) <= idLength || stanza[idLength] != '/' {
			continue
		}
		text := string(stanza[:idLength])
		if _, ok := parseID(text); ok && !slices.Contains(links, text) {
			links = append(links, text)
		}
	}
}
