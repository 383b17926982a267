package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Prepared says what Prepare made.
type Prepared struct {
	Folder, File, Certificate bool
}

// Prepare makes what a first start needs and what is not there: the data
// folder, the settings file, a key with a self-signed certificate.
func (l *Loaded) Prepare(now time.Time) (Prepared, error) {
	var made Prepared
	if err := l.CheckServed(); err != nil {
		return made, err
	}
	if _, err := os.Stat(l.Data); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(l.Data, 0o700); err != nil {
			return made, fmt.Errorf("the data folder cannot be made: %w; name another one with --data or CONFAB_DATA, or make it and give it to the user that runs confab", err)
		}
		made.Folder = true
	} else if err != nil {
		return made, err
	}
	if !l.Exists {
		var text strings.Builder
		if err := WriteSample(&text, l.Settings); err != nil {
			return made, err
		}
		if err := writeNew(l.File, []byte(text.String()), 0o600); err != nil {
			return made, fmt.Errorf("the settings file cannot be written: %w%s", err, advice(err))
		}
		l.Exists, made.File = true, true
	}
	certificate, key := l.Path(l.TLS.Certificate[0]), l.Path(l.TLS.Key[0])
	if l.Origin["tls.certificate"] != "" || exists(certificate) || exists(key) {
		return made, nil // the administrator's own
	}
	if err := WriteSelfSigned(l.Settings, now); err != nil {
		return made, fmt.Errorf("the self-signed certificate cannot be written: %w%s", err, advice(err))
	}
	made.Certificate = true
	return made, nil
}

// CheckServed tells what is good for some commands, but not for a server: that no mail domain is named, or the data folder
// in a way that leaves no room for the name of the control socket.
func (l *Loaded) CheckServed() error {
	const most = len(syscall.RawSockaddrUnix{}.Path) - 1
	if n := len(l.NewControlSocket()); n > most {
		return &Error{Problems: []string{fmt.Sprintf("data: the name of the data folder is %d bytes too long for the control socket in it: name another folder, or a symbolic link to this one that has a shorter name", n-most)}}
	}
	if len(l.Domains) > 0 {
		return nil
	}
	return &Error{Problems: []string{"domains: no mail domain is named; say --domains example.com, set CONFAB_DOMAINS, or write domains = [\"example.com\"] into " + l.File}}
}

// advice says what to do about a file that cannot be read or written.
func advice(err error) string {
	if errors.Is(err, os.ErrPermission) {
		return ": run the command as the user that owns the data folder, or as root"
	}
	return ""
}

// CheckData tells why what a server keeps could not be written to the data folder, nil if it could. A folder that is not
// there yet has to be one that the first start can make.
func (s *Settings) CheckData() error {
	dir := s.Data
	for !exists(dir) && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, ".confab-check-*")
	if err != nil {
		return fmt.Errorf("data: nothing can be written to %s: %w%s", dir, err, advice(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeNew writes a file that must not exist yet, and its folder. There is none if that fails.
func writeNew(path string, data []byte, mode os.FileMode) error {
	folder := filepath.Dir(path)
	if !exists(folder) {
		if err := errors.Join(os.MkdirAll(folder, 0o700), Adopt(folder)); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close(), Adopt(path)); err != nil {
		os.Remove(path)
	}
	return err
}
