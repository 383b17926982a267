package upload

import (
	"errors"
	"mime"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"confab/xmpp"
)

const (
	maxName = 255 // bytes; file systems of clients take no more
	maxType = 255
)

// request is a file that a client is going to send.
type request struct {
	name      string
	size      int64
	mediaType string // normalized; empty: not told
}

// parseRequest reads a slot request (§4). The error is an *xmpp.Error.
func parseRequest(n *xmpp.Node) (request, error) {
	r := request{name: n.Attr("filename")}
	if !nameable(r.name) {
		return r, xmpp.NewError(xmpp.BadRequest, "filename must be the name of a file, without its folder, of at most 255 bytes")
	}
	size, err := strconv.ParseUint(n.Attr("size"), 10, 63)
	if err != nil && !errors.Is(err, strconv.ErrRange) || err == nil && size == 0 {
		return r, xmpp.NewError(xmpp.BadRequest, "size must be the number of bytes of the file")
	}
	r.size = int64(min(size, 1<<62)) // what is out of range is too large
	if text := n.Attr("content-type"); text != "" {
		if r.mediaType = normalType(text); r.mediaType == "" {
			return r, xmpp.NewError(xmpp.BadRequest, "content-type is no media type")
		}
	}
	for _, c := range n.Children {
		if c.Space == nsPurpose && c.Local != "message" { // §5: the others are not announced
			return r, xmpp.NewError(xmpp.FeatureNotImplemented, "files are kept as long as the messages that link them, for no other purpose")
		}
	}
	return r, nil
}

// nameable reports whether a text can be the name of a file.
func nameable(name string) bool {
	return name != "" && len(name) <= maxName && name != "." && name != ".." && utf8.ValidString(name) &&
		!strings.ContainsAny(name, `/\`) && !strings.ContainsFunc(name, odd)
}

// odd tells letters that nobody sees: control characters, and what turns the
// direction of a text so that gpj.exe looks like exe.jpg.
func odd(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// normalType returns a media type in the form of a header, "" if it is none.
func normalType(text string) string {
	if len(text) > maxType {
		return ""
	}
	kind, params, err := mime.ParseMediaType(text)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || strings.Count(kind, "/") != 1 {
		return ""
	}
	if kind == "text/plain" && params["charset"] == "" {
		params = map[string]string{"charset": "utf-8"}
	}
	return mime.FormatMediaType(kind, params)
}

// kindOf is a media type without its parameters.
func kindOf(mediaType string) string {
	kind, _, _ := strings.Cut(mediaType, ";")
	return kind
}
