//go:build unix

package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// canRestart says that restart works here.
const canRestart = true

// restart starts the program again in this process, so that whoever supervises
// it sees no end of it. It returns only if that fails.
func restart() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGHUP) // until the program asks for it: left alone, it would end it
	return syscall.Exec(program, os.Args, os.Environ())
}

// ended reports whether there is no such process any more.
func ended(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
