// Package picture knows what the picture of an address may be: its size, its kinds, and the hash that names it (XEP-0084,
// XEP-0153, XEP-0486).
package picture

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Max is the largest picture, in bytes: in base64 it fits into a stanza.
const Max = 128 << 10

// What may be wrong with a picture; the errors of New say more.
var (
	ErrSize = errors.New("the picture is too big")
	ErrKind = errors.New("this is no picture")
)

// Picture is a picture that was looked at.
type Picture struct {
	Type string // image/png
	Data []byte
}

// New makes a Picture of its bytes. What it is the bytes say; kind is believed only of what cannot be told by them.
func New(data []byte, kind string) (Picture, error) {
	if len(data) > Max {
		return Picture{}, fmt.Errorf("%w: %d bytes, and %d is the limit", ErrSize, len(data), Max)
	}
	if found := Kind(data); found != "" {
		return Picture{found, data}, nil
	}
	if kind = strings.ToLower(strings.TrimSpace(kind)); (kind == svg || kind == "") && isSVG(data) {
		return Picture{svg, data}, nil
	}
	return Picture{}, fmt.Errorf("%w: PNG, JPEG, GIF, WebP and SVG are known", ErrKind)
}

// Decode is New with the bytes in base64, in lines or not (RFC 2045 §6.8).
func Decode(text, kind string) (Picture, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return Picture{}, fmt.Errorf("%w: it is not in base64", ErrKind)
	}
	return New(data, kind)
}

// Hash names the picture: the SHA-1 of its bytes, in hexadecimal digits.
func (p *Picture) Hash() string {
	h := sha1.Sum(p.Data)
	return hex.EncodeToString(h[:])
}

// AppendBase64 appends the picture as XML takes it.
func (p *Picture) AppendBase64(dst []byte) []byte {
	return base64.StdEncoding.AppendEncode(dst, p.Data)
}

const svg = "image/svg+xml"

// Kind tells a picture by how it begins: image/png, or "" for what is not known.
func Kind(data []byte) string {
	for _, k := range []struct{ kind, magic string }{
		{"image/png", "\x89PNG\r\n\x1a\n"}, {"image/jpeg", "\xff\xd8\xff"}, {"image/gif", "GIF87a"}, {"image/gif", "GIF89a"},
	} {
		if bytes.HasPrefix(data, []byte(k.magic)) {
			return k.kind
		}
	}
	if len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP" {
		return "image/webp"
	}
	return ""
}

// svgHead is how far from the beginning the root element is looked for.
const svgHead = 1 << 10

func isSVG(data []byte) bool {
	head := bytes.TrimLeft(bytes.TrimPrefix(data[:min(len(data), svgHead)], []byte("\ufeff")), " \t\r\n")
	return bytes.HasPrefix(head, []byte("<svg")) ||
		(bytes.HasPrefix(head, []byte("<?xml")) || bytes.HasPrefix(head, []byte("<!--"))) && bytes.Contains(head, []byte("<svg"))
}
