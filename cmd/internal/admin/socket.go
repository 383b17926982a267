package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// maxRequest bounds a request: an import of 100,000 users fits.
const maxRequest = 64 << 20

// reply is a line of the answer to a request. Items and progress come first,
// the last line is the result or the error. An answer without either was cut
// off.
type reply struct {
	Item     json.RawMessage `json:"item,omitempty"`
	Progress *[2]int         `json:"progress,omitempty"` // done, total
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

// Socket is the control socket: HTTP on a unix socket that only the owner of
// the data folder (and root) can open. A request is POSTed as JSON, the answer
// is lines of JSON.
type Socket struct {
	path     string
	listener *net.UnixListener
	server   *http.Server
}

// Listen makes the control socket. The caller holds the databases, so a socket
// that is there already is left over from a crash and is replaced.
func Listen(path string) (*Socket, error) {
	// Made under another name: nobody can connect until the mode is right.
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		if len(temporary) > 100 {
			return nil, fmt.Errorf("%w: the name of the data folder is too long for a socket in it", err)
		}
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temporary, 0o600), os.Rename(temporary, path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &Socket{path: path, listener: l, server: &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}}, nil
}

// Serve answers on the socket until Close.
func (s *Socket) Serve(a *Admin) error {
	s.server.Handler = handler(a)
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops taking requests and waits for those that run, as long as ctx
// allows.
func (s *Socket) Close(ctx context.Context) error {
	err := os.Remove(s.path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if s.server.Shutdown(ctx) != nil {
		err = errors.Join(err, s.server.Close())
	}
	s.listener.Close() // the server closes it only if Serve was called
	return err
}

// handler answers the requests of a Client.
func handler(d Door) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "this is confab's control socket; use the command confab", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		out := &answer{enc: json.NewEncoder(w), flush: http.NewResponseController(w)}
		var request Request
		body := http.MaxBytesReader(w, r.Body, maxRequest)
		if err := json.NewDecoder(body).Decode(&request); err != nil {
			out.finish(nil, failf(Usage, "the request is no good: %v", err))
			return
		}
		// Read to the end, so that net/http notices when the client goes away.
		if _, err := io.Copy(io.Discard, body); err != nil {
			return
		}
		result, err := doSafely(r.Context(), d, request, Output{Item: out.item, Progress: out.progress})
		out.finish(result, err)
	})
}

// doSafely turns a panic into an error: an operation that fails must not take
// the chat server with it.
func doSafely(ctx context.Context, d Door, r Request, out Output) (result json.RawMessage, err error) {
	defer func() {
		if v := recover(); v != nil {
			slog.Error("an operation panicked", "operation", r.Operation, "panic", v, "stack", string(debug.Stack()))
			err = failf(Failed, "confab failed to do this, which is a bug; its log says more")
		}
	}()
	return d.Do(ctx, r, out)
}

// answer writes the lines of an answer.
type answer struct {
	mu      sync.Mutex
	enc     *json.Encoder
	flush   *http.ResponseController
	flushed time.Time
}

func (a *answer) item(item json.RawMessage) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.enc.Encode(reply{Item: item})
}

func (a *answer) progress(done, total int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.flushed) > 100*time.Millisecond || done == total {
		a.flushed = now
		// If the client is gone the context tells the operation.
		_ = a.enc.Encode(reply{Progress: &[2]int{done, total}})
		_ = a.flush.Flush()
	}
}

func (a *answer) finish(result json.RawMessage, err error) {
	r := reply{Result: result}
	if err != nil {
		r = reply{Error: asError(err)}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.enc.Encode(r)
}
