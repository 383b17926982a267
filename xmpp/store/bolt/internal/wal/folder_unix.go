//go:build unix

package wal

import (
	"errors"
	"os"
	"syscall"
)

// adopt gives a file that root made to the owner of the store: a server that runs as that user has to read it when a command
// that root ran was killed.
func adopt(f *os.File, store string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	fi, err := os.Stat(store)
	if err != nil {
		return err
	}
	st := fi.Sys().(*syscall.Stat_t)
	return f.Chown(int(st.Uid), int(st.Gid))
}

// syncFolder puts the names in a folder on disk.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
