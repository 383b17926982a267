//go:build unix

package config

import (
	"os"
	"path/filepath"
	"syscall"
)

// Adopt gives a file that root made to the owner of its folder: the server,
// which runs as that user, has to write to what a command run by root made.
func Adopt(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	file, err := owner(path)
	if err != nil {
		return err
	}
	folder, err := owner(filepath.Dir(path))
	if err != nil || file == folder {
		return err
	}
	return os.Chown(path, int(folder.uid), int(folder.gid))
}

type ids struct{ uid, gid uint32 }

func owner(path string) (ids, error) {
	info, err := os.Stat(path)
	if err != nil {
		return ids{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return ids{st.Uid, st.Gid}, nil
}
