package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// Client reaches the operations of a running server.
type Client struct {
	http  *http.Client
	ready chan net.Conn // the first connection, until it is used
}

// Dial connects to the control socket of a running server. The error is
// ErrNoServer if there is none.
func Dial(ctx context.Context, path string) (*Client, error) {
	dial := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "unix", path)
	}
	first, err := dial(ctx)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNoServer
	case errors.Is(err, os.ErrPermission):
		return nil, failf(Failed, "the control socket %s may not be opened by you: run the command as the user that runs the server, or as root", path)
	case err != nil:
		return nil, err
	}
	ready := make(chan net.Conn, 1)
	ready <- first
	return &Client{ready: ready, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case c := <-ready:
				return c, nil
			default:
				return dial(ctx)
			}
		},
	}}}, nil
}

// ErrNoServer means that nobody answers on the control socket.
var ErrNoServer = errors.New("no server runs here")

// Close closes the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	select {
	case unused := <-c.ready:
		return unused.Close()
	default:
		return nil
	}
}

// Do has the server carry an operation out.
func (c *Client) Do(ctx context.Context, r Request, out Output) (json.RawMessage, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://confab/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	for dec := json.NewDecoder(response.Body); ; {
		var line reply
		err := dec.Decode(&line)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, failf(Failed, "the server went away before it was done; look at its log, and at what it did")
		case err != nil:
			return nil, err
		case line.Error != nil:
			return nil, line.Error
		case line.Result != nil:
			return line.Result, nil
		case line.Progress != nil:
			out.progress(line.Progress[0], line.Progress[1])
		case line.Item != nil && out.Item != nil:
			if err := out.Item(line.Item); err != nil {
				return nil, err
			}
		}
	}
}
