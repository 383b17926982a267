package xmpp

import (
	"hash/maphash"
	"sync"
)

const (
	cacheShards  = 16
	cacheEntries = 1024 // of one generation of one shard
	cacheText    = 256  // longer addresses are not kept
)

// JIDCache interns the addresses that peers send: known text costs no allocation. It is bounded and safe for concurrent
// use; the zero value is ready.
type JIDCache struct {
	shards [cacheShards]jidShard
}

// jidShard keeps two generations. What is used moves to the young one; when that is full the old one is dropped.
type jidShard struct {
	mu         sync.RWMutex
	young, old map[string]JID
}

var cacheSeed = maphash.MakeSeed()

// Parse is ParseJID. b is not kept.
func (c *JIDCache) Parse(b []byte) (JID, error) {
	if len(b) > cacheText {
		return ParseJID(string(b))
	}
	s := &c.shards[maphash.Bytes(cacheSeed, b)%cacheShards]
	s.mu.RLock()
	j, ok := s.young[string(b)]
	aged := false
	if !ok {
		j, aged = s.old[string(b)]
	}
	s.mu.RUnlock()
	switch {
	case ok:
		return j, nil
	case aged:
		s.put(b, j)
		return j, nil
	}
	j, err := ParseJID(string(b))
	if err == nil {
		s.put(b, j)
	}
	return j, err
}

// put adds j, which b stands for, to the young generation.
func (s *jidShard) put(b []byte, j JID) {
	text := j.s
	if text != string(b) {
		text = string(b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= cacheEntries {
		s.young, s.old = make(map[string]JID), s.young
	}
	s.young[text] = j
}
