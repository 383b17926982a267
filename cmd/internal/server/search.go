package server

import (
	"os"

	"confab/archive/search"
	"confab/cmd/internal/config"
)

// newIndex makes the index of the history, which is opened when it is used.
func (s *Server) newIndex() *search.Index {
	return search.New(search.Options{
		Dir: s.settings.Load().SearchIndex(), Clock: s.opts.Clock, Log: s.opts.Log,
		Busy:  func() bool { return s.archive.Busy() },
		Adopt: adopt,
	})
}

// adopt gives what a command made to the owner of the folder; what is gone meanwhile need not be.
func adopt(path string) error {
	if err := config.Adopt(path); !os.IsNotExist(err) {
		return err
	}
	return nil
}
