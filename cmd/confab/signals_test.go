//go:build unix

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"confab/cmd/internal/admin"
)

// piped is a server whose settings file is a pipe: it waits wherever it reads its settings.
type piped struct {
	*process
	pipe    string
	outside []string // the environment of commands, which do not wait
}

func newPiped(t *testing.T) *piped {
	t.Helper()
	p := &piped{process: newProcess(t, nil), pipe: filepath.Join(t.TempDir(), "settings")}
	if err := syscall.Mkfifo(p.pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p.outside = p.env
	p.env = append(slices.Clone(p.env), "CONFAB_CONFIG="+p.pipe)
	return p
}

// reads waits until the server reads its settings; it goes on when the pipe is closed.
func (p *piped) reads(t *testing.T) (pipe *os.File) {
	t.Helper()
	p.await(t, "nobody reads the settings", func() (ok bool) {
		var err error
		pipe, err = os.OpenFile(p.pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	return pipe
}

func (p *piped) logs(t *testing.T, text string) {
	t.Helper()
	p.await(t, "not in the log: "+text, func() bool { return strings.Contains(p.log.String(), text) })
}

// A server that is told to reload while it starts does so when it has started.
func TestHangupWhileStarting(t *testing.T) {
	p := newPiped(t)
	cmd := p.begin(t)
	pipe := p.reads(t)
	cmd.Process.Signal(syscall.SIGHUP)
	pipe.Close()
	p.answers(t)
	p.reads(t).Close()
	p.logs(t, "reloaded")
}

// A server that is told to end while it starts has not failed.
func TestEndWhileStarting(t *testing.T) {
	p := newPiped(t)
	cmd := p.begin(t)
	pipe := p.reads(t)
	cmd.Process.Signal(syscall.SIGTERM)
	pipe.Close()
	<-p.ended
	if !cmd.ProcessState.Success() {
		t.Errorf("%v\n%s", cmd.ProcessState, p.log)
	}
}

// Who ends a server that is about to start again means it.
func TestEndWhileRestarting(t *testing.T) {
	p := newPiped(t)
	cmd := p.begin(t)
	p.reads(t).Close()
	p.answers(t)
	c := &cli{T: t, dir: p.settings.Data, env: p.outside}
	reloaded := make(chan result, 1)
	go func() { reloaded <- c.run("", "reload") }()
	pipe := p.reads(t) // the server waits for this before it ends
	door, err := admin.Dial(t.Context(), p.settings.ControlSocket())
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	if _, err := admin.ServerRestart.Call(t.Context(), door, "test", admin.StopParams{}, admin.Receiver[admin.None]{}); err != nil {
		t.Fatal(err)
	}
	p.logs(t, "stopping")
	cmd.Process.Signal(syscall.SIGTERM)
	pipe.Close()
	<-reloaded
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
}
