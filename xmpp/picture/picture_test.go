package picture

import (
	"errors"
	"strings"
	"testing"
)

func TestKinds(t *testing.T) {
	for _, test := range []struct {
		data, said, kind string
		err              error
	}{
		{"\x89PNG\r\n\x1a\nrest", "image/jpeg", "image/png", nil},
		{"\xff\xd8\xff\xe0", "", "image/jpeg", nil},
		{"GIF89a", "", "image/gif", nil},
		{"RIFF\x00\x00\x00\x00WEBPVP8 ", "", "image/webp", nil},
		{"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "image/svg+xml", nil},
		{"\ufeff<?xml version='1.0'?>\n<!-- x --><svg/>", "", "image/svg+xml", nil},
		{"<svg/>", "image/png", "", ErrKind},
		{"<?xml version='1.0'?><html/>", "image/svg+xml", "", ErrKind},
		{"<script>", "image/svg+xml", "", ErrKind},
		{"hello", "image/png", "", ErrKind},
		{"", "image/png", "", ErrKind},
		{"\x89PNG\r\n\x1a\n" + strings.Repeat("x", Max), "", "", ErrSize},
	} {
		p, err := New([]byte(test.data), test.said)
		if !errors.Is(err, test.err) || p.Type != test.kind {
			t.Errorf("%.20q: %q, %v", test.data, p.Type, err)
		}
	}
}

func TestDecode(t *testing.T) {
	p, err := Decode(" iVBORw0K\n GgpyZXN0 ", "")
	if err != nil || p.Type != "image/png" || string(p.Data) != "\x89PNG\r\n\x1a\nrest" {
		t.Errorf("%+v, %v", p, err)
	}
	if got := p.Hash(); got != "5539ad79c7fa1aea64bd238469bfa9934e444ccb" {
		t.Error(got)
	}
	if got := string(p.AppendBase64(nil)); got != "iVBORw0KGgpyZXN0" {
		t.Error(got)
	}
	if _, err := Decode("not base64!", ""); !errors.Is(err, ErrKind) {
		t.Error(err)
	}
}
