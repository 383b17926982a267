package archive

import (
	"encoding/binary"
	"math"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// The spaces of the archive and their keys. Numbers are big-endian, so that keys sort as the numbers do.
const (
	spaceBody   store.Space = "history.body"   // id → body record
	spaceIndex  store.Space = "history.index"  // owner, NUL, id → block of an index; owner, address, NUL, id → the same of a conversation
	spaceCount  store.Space = "history.count"  // key of a session → handled, time
	spaceMarker store.Space = "history.marker" // owner → id up to which some resource got everything
	spaceAudit  store.Space = "history.audit"  // time → access record
	spaceLink   store.Space = "history.link"   // link, NUL, id → nothing
	spaceChange store.Space = "history.change" // id → when; what the search index is yet to follow
	spaceMeta   store.Space = "history.meta"
)

// AppendSpaces names the spaces whose keys only ascend, for engines that fill their pages accordingly.
func AppendSpaces() []store.Space { return []store.Space{spaceBody, spaceAudit} }

// keyLast holds the highest id that was ever given away when its message is gone: ids are not used twice.
var keyLast = []byte("last")

const maxID = math.MaxUint64

func appendID(dst []byte, id uint64) []byte { return binary.BigEndian.AppendUint64(dst, id) }

// idOf returns the id at the end of a key.
func idOf(key []byte) uint64 {
	if len(key) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(key)-8:])
}

func appendOwner(dst []byte, o directory.ID) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(o))
}

// appendPlace appends the beginning that the keys of one index share. What an owner has is kept together, so that few pages
// change. An address has no NUL in it.
func appendPlace(dst []byte, p place) []byte {
	dst = appendOwner(dst, p.owner)
	dst = append(dst, p.with...)
	return append(dst, 0)
}

// peerOf returns the address in a key of an index.
func peerOf(key []byte) string {
	if len(key) < 17 {
		return ""
	}
	return string(key[8 : len(key)-9])
}

// idText is how clients see ids: 13 digits of base 32, which sort as the numbers do.
const idDigits = "0123456789abcdefghijklmnopqrstuv"

// AppendID appends the text of an id.
func AppendID(dst []byte, id uint64) []byte {
	for shift := 60; shift >= 0; shift -= 5 {
		dst = append(dst, idDigits[id>>shift&31])
	}
	return dst
}

// FormatID returns the text of an id.
func FormatID(id uint64) string { return string(AppendID(make([]byte, 0, 13), id)) }

// ParseID reads the text of an id; ok is false for what AppendID did not write.
func ParseID(s string) (id uint64, ok bool) {
	if len(s) != 13 || s[0] > 'f' {
		return 0, false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'v':
			c -= 'a' - 10
		default:
			return 0, false
		}
		id = id<<5 | uint64(c)
	}
	return id, true
}
