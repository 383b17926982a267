package record

import (
	"slices"
	"testing"
	"time"
)

func FuzzRecord(f *testing.F) {
	at := time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)
	whole := AppendTime(AppendTime(AppendStrings(AppendString(AppendUint(AppendFlags([]byte{7}, true, false, true), 300), "text"), []string{"a", ""}), at), time.Time{})
	f.Add(whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		// Whatever is read comes to an end, and what is whole is written as it was.
		r := Read(b)
		c := r.Byte()
		var one, two, three bool
		r.Flags(&one, &two, &three)
		n, text, list, x, y := r.Uint(), r.String(), r.Strings(), r.Time(), r.Time()
		if !r.Done() {
			if r.Failed() && r.Uint() != 0 {
				t.Error("a reader goes on that has failed")
			}
			return
		}
		again := Read(AppendTime(AppendTime(AppendStrings(AppendString(AppendUint(AppendFlags([]byte{c}, one, two, three), n), text), list), x), y))
		var un, deux, trois bool
		if c2 := again.Byte(); c2 != c {
			t.Errorf("a byte %d became %d", c, c2)
		}
		again.Flags(&un, &deux, &trois)
		if un != one || deux != two || trois != three {
			t.Error("flags have changed")
		}
		n2, text2, list2, x2, y2 := again.Uint(), again.String(), again.Strings(), again.Time(), again.Time()
		if !again.Done() || n2 != n || text2 != text || !slices.Equal(list2, list) || !x2.Equal(x) || !y2.Equal(y) {
			t.Errorf("%d %q %q %v %v became %d %q %q %v %v", n, text, list, x, y, n2, text2, list2, x2, y2)
		}
	})
}

func TestWhatIsMissingFails(t *testing.T) {
	whole := AppendStrings(AppendString(AppendUint([]byte{1}, 1<<40), "text"), []string{"a", "b"})
	for n := range whole {
		r := Read(whole[:n])
		r.Byte()
		r.Uint()
		_ = r.String()
		if list := r.Strings(); !r.Failed() || r.Done() || list != nil {
			t.Errorf("%d bytes of %d are taken for whole: %q", n, len(whole), list)
		}
	}
	r := Read(append(whole, 0))
	r.Byte()
	if r.Uint() != 1<<40 || r.String() != "text" || len(r.Strings()) != 2 || r.Failed() || r.Done() {
		t.Error("what is too much was not noticed")
	}
	if r = Read(whole); r.Byte() != 1 || r.Bytes() != nil || !r.Failed() {
		t.Error("a length beyond the record was believed")
	}
}
