package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"confab/cmd/internal/config"
)

// Audit is the audit log: who changed something. It is a file of JSON lines
// that is only ever appended to. Who read the history is noted in the history.
type Audit struct {
	Path string

	mu sync.Mutex
}

type auditEntry struct {
	Time      time.Time `json:"time"`
	By        string    `json:"by"`
	Operation string    `json:"operation"`
	Params    any       `json:"params,omitempty"`
	Error     string    `json:"error,omitempty"`
}

// audited is implemented by parameters that hold what is not for the log.
type audited interface{ audited() any }

// started notes an operation before it begins. If that is not possible, the
// operation must not begin.
func (l *Audit) started(now time.Time, r *Request, params any) error {
	if p, ok := params.(audited); ok {
		params = p.audited()
	}
	return l.write(auditEntry{Time: now, By: r.By, Operation: r.Operation, Params: params})
}

func (l *Audit) failed(now time.Time, r *Request, cause error) error {
	return l.write(auditEntry{Time: now, By: r.By, Operation: r.Operation, Error: cause.Error()})
}

// write opens the file anew each time, so that it may be moved away.
func (l *Audit) write(e auditEntry) error {
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("nothing was done, as the audit log cannot be written: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close(), config.Adopt(l.Path)); err != nil {
		return fmt.Errorf("nothing was done, as the audit log cannot be written: %w", err)
	}
	return nil
}
