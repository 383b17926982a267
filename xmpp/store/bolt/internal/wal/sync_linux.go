package wal

import (
	"errors"
	"os"
	"syscall"
)

// Datasync puts a file's data on disk, and of its metadata what is needed to read it.
func Datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			if err != nil {
				return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
			}
			return nil
		}
	}
}
