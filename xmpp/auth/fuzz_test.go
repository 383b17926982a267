package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
)

func FuzzFirst(f *testing.F) {
	for _, s := range []string{
		"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", "y,a=x@y,n=a=2Cb=3D,r=x,e=f", "p=tls-exporter,,n=user,r=x", "n,,m=x,n=u,r=x",
		"n,a==,n==,r==", ",,,,", "p=,a=,n=,r=",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		m, fail := parseFirst(b)
		if !bytes.Equal(in, b) {
			t.Fatal("the message was changed")
		}
		if fail != nil {
			return
		}
		if !bytes.Equal(slices.Concat(m.header, m.bare), b) {
			t.Errorf("%q is %q and %q", b, m.header, m.bare)
		}
		// Written again from its parts it is what it was, but for extensions.
		escape := strings.NewReplacer("=", "=3D", ",", "=2C").Replace
		flag := string(m.flag)
		if m.flag == 'p' {
			flag = "p=" + m.binding
		}
		again := flag + ","
		if m.authzid != "" {
			again += "a=" + escape(m.authzid)
		}
		again += ",n=" + escape(m.name) + ",r=" + m.nonce
		if !strings.HasPrefix(string(b), again) || len(b) > len(again) && b[len(again)] != ',' {
			t.Errorf("%q is read as %q", b, again)
		}
	})
}

func FuzzFinal(f *testing.F) {
	for _, s := range []string{
		"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
		"c=biws,r=x,e=f,p=,p=QUJD", ",p=", "c=,r=,p=", "c=biws,r=x,m=y,p=QUJD",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, fail := parseFinal(b)
		if fail != nil {
			return
		}
		rest, ok := bytes.CutPrefix(b, m.bare)
		if !ok || !bytes.HasPrefix(rest, []byte(",p=")) || bytes.ContainsRune(rest[1:], ',') {
			t.Errorf("%q: the proof is %q", b, rest)
		}
		if len(m.binding) == 0 || bytes.ContainsRune(m.nonce, ',') {
			t.Errorf("%q: binding %q, nonce %q", b, m.binding, m.nonce)
		}
	})
}

// Whatever comes, nobody gets in who does not know the password.
func FuzzExchange(f *testing.F) {
	h := newHouse(f)
	h.add("juliet", rand.Text())
	mechanisms := h.Mechanisms(here, channel)
	f.Add(uint8(0), []byte("p=tls-exporter,,n=juliet,r=x"), []byte("c=,r=x,p=QUJD"), true)
	f.Add(uint8(4), []byte("n,,n=juliet,r=x"), []byte("c=biws,r=x,p=QUJD"), true)
	f.Add(uint8(6), []byte("\x00juliet\x00x"), []byte("juliet@capulet.example\x00juliet\x00x"), false)
	f.Fuzz(func(t *testing.T, which uint8, first, final []byte, splice bool) {
		h := &house{Auth: h.Auth, t: t}
		x := h.start(mechanisms[int(which)%len(mechanisms)], channel)
		resp, done, err := x.Step(context.Background(), first)
		if err == nil && !done {
			if nonce, _, ok := bytes.Cut(resp, []byte{','}); ok && splice { // so that the proof is looked at
				final = bytes.Replace(final, []byte("r=x"), nonce, 1)
			}
			_, done, err = x.Step(context.Background(), final)
		}
		if done || err == nil && x.over || x.User() != nil {
			t.Fatalf("%q %q: in as %+v", first, final, x.User())
		}
		if err != nil && cause(err) == Store {
			t.Fatalf("%q %q: %v", first, final, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("biws"))
	f.Add([]byte("="))
	f.Fuzz(func(t *testing.T, b []byte) {
		if message, err := Decode(b); err != nil && message != nil || len(message) > maxMessage {
			t.Errorf("%d bytes, %v", len(message), err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add(appendKeys(nil, Keys{deriveKey(SHA1, "pencil", prosodySalt, few), deriveKey(SHA512, "pencil", ejabberdSalt, few)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if err != nil {
			return
		}
		if err := keys.check(); err != nil {
			t.Error(err)
		}
		if again, err := parseKeys(appendKeys(nil, keys)); err != nil || len(again) != len(keys) {
			t.Errorf("%v, %d keys of %d", err, len(again), len(keys))
		}
	})
}
