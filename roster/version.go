package roster

import (
	"strconv"
	"strings"
)

// version says which state of a list a client has (RFC 6121 §2.6). It is
// written view.revisions.personal, numbers to the base 36: the view names the
// store and what the settings show of the domain, so that neither a restored
// backup nor another setting reads as unchanged; there is a revision of each
// source, joined by dashes; the last one is the list's own.
type version struct {
	view     string
	sources  []uint64
	personal uint64
}

func (v *version) append(dst []byte) []byte {
	dst = append(dst, v.view...)
	for i, n := range v.sources {
		dst = append(dst, ".-"[min(i, 1)])
		dst = strconv.AppendUint(dst, n, 36)
	}
	dst = append(dst, '.')
	return strconv.AppendUint(dst, v.personal, 36)
}

// parseVersion reads what append wrote; anything else is no version that we gave out.
func parseVersion(s string) (v version, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || len(s) > 512 {
		return version{}, false
	}
	v.view = parts[0]
	for n := range strings.SplitSeq(parts[1], "-") {
		rev, err := strconv.ParseUint(n, 36, 64)
		if err != nil {
			return version{}, false
		}
		v.sources = append(v.sources, rev)
	}
	var err error
	v.personal, err = strconv.ParseUint(parts[2], 36, 64)
	return v, err == nil
}
