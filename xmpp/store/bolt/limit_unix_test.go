//go:build unix

package bolt_test

import (
	"os/signal"
	"syscall"
)

// limitFileSize makes writes behind size fail as on a full disk.
func limitFileSize(size int64) (lift func(), ok bool) {
	signal.Ignore(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old) != nil {
		return nil, false
	}
	limit := syscall.Rlimit{Cur: uint64(size), Max: old.Max}
	if syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit) != nil {
		return nil, false
	}
	return func() { _ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old) }, true
}
