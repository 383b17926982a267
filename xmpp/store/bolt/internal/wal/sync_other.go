//go:build !linux

package wal

import "os"

// Datasync puts a file on disk.
func Datasync(f *os.File) error { return f.Sync() }
