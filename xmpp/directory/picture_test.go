package directory

import (
	"testing"

	"confab/xmpp/picture"
)

// The picture of an alias is on disk beside it, and goes with it.
func TestAliasPicture(t *testing.T) {
	d := newHouse(t)
	a := d.create("sales")
	png := picture.Picture{Type: "image/png", Data: []byte("\x89PNG\r\n\x1a\nrest")}
	set := func(p *picture.Picture) {
		t.Helper()
		err := d.UpdateAlias(t.Context(), a.ID, Membership{}, func(x *Alias) error { x.SetAvatar(p); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	has := func(want string) {
		t.Helper()
		if got, err := d.AliasPicture(t.Context(), a.ID); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	set(&png)
	has(string(png.Data))
	if now := d.AliasByID(a.ID); now.Avatar != (Avatar{true, png.Hash(), "image/png", len(png.Data)}) || now.picture != nil {
		t.Errorf("%+v, and %d bytes in memory", now.Avatar, len(now.picture))
	}
	d = d.reopen()
	has(string(png.Data))
	// Another change leaves it alone.
	if err := d.UpdateAlias(t.Context(), a.ID, Membership{}, func(x *Alias) error { x.Name = "Sales"; return nil }); err != nil {
		t.Fatal(err)
	}
	has(string(png.Data))
	set(nil)
	has("")
	if now := d.AliasByID(a.ID); now.Avatar != (Avatar{Known: true}) {
		t.Errorf("%+v", now.Avatar)
	}
	set(&png)
	if err := d.DeleteAlias(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	has("")
}
