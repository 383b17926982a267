package server

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/metrics"
)

// The panels of the dashboard.
const (
	onSessions    = "Sessions and connections"
	onResumption  = "Sessions that came back, and that did not"
	onLogins      = "Logins"
	onStanzas     = "Stanzas"
	onRosters     = "Contact lists and presence"
	onRooms       = "Rooms and aliases"
	onAbuse       = "Blocking and reports"
	onTraffic     = "Traffic in bytes"
	onWaiting     = "Bytes that wait for slow clients"
	onTrouble     = "Clients that are too slow or send too much"
	onLog         = "Errors in the log"
	onHistory     = "Messages kept"
	onPush        = "Push"
	onFiles       = "Files"
	onFileBytes   = "Bytes of files"
	onComponents  = "Components"
	onAPI         = "Requests of programs"
	onCommits     = "Time until messages are on disk"
	onCommitGroup = "Updates that share a commit"
)

// figures is the list of all that is counted and measured, the only place that names them. Nothing of s is touched before a
// figure is read, so that the list is there without a server.
func (s *Server) figures() []metrics.Figure {
	return []metrics.Figure{
		gauge("connections", "Connections of clients that are open.", onSessions, func() int64 { return s.streams.Open.Load() }),
		gauge("sessions", "Sessions that are bound, those included that wait to be resumed.", onSessions, func() int64 { return s.router.Stats.Sessions.Load() }),
		gauge("sessions_hibernating", "Sessions that lost their connection and may be resumed.", onSessions, func() int64 { return s.router.Stats.Hibernating.Load() }),
		counter("sessions_resumed", "Sessions that were resumed.", onResumption, func() int64 { return s.router.Stats.Resumed.Load() }),
		counter("sessions_expired", "Sessions that nobody came back for.", onResumption, func() int64 { return s.router.Stats.Expired.Load() }),
		counter("connections_accepted", "Connections of clients that were taken.", onLogins, func() int64 { return s.streams.Accepted.Load() }),
		counter("connections_refused", "Connections that were closed at once, since too many had not logged in.", onLogins, func() int64 { return s.c2s.Stats.RefusedStreams.Load() }),
		counter("logins", "Logins.", onLogins, func() int64 { return s.c2s.Stats.Logins.Load() }),
		counter("logins_refused", "Attempts with a wrong password, for an unknown or a disabled account.", onLogins, func() int64 { return s.c2s.Stats.RefusedLogins.Load() }),
		counter("logins_throttled", "Attempts from addresses that failed too often.", onLogins, func() int64 { return s.c2s.Stats.Throttled.Load() }),
		counter("logins_unbound", "Attempts whose channel binding was wrong: somebody may be in between.", onLogins, func() int64 { return int64(s.auth.Stats().Unbound.Load()) }),
		counter("tls_failures", "TLS handshakes that failed.", onLogins, func() int64 { return s.streams.TLSFailures.Load() }),
		counter("https_tls_failures", "TLS handshakes for HTTPS that failed.", onLogins, func() int64 { return s.web.Stats.TLSFailures.Load() }),
		counter("stream_errors", "Streams that ended with an error of the client.", onLogins, func() int64 { return s.c2s.Stats.StreamErrors.Load() }),
		counter("messages_received", "Messages that clients and components sent.", onStanzas, func() int64 { return s.table.Stats.Messages.Load() }),
		counter("presences_received", "Presence stanzas that clients and components sent.", onStanzas, func() int64 { return s.table.Stats.Presences.Load() }),
		counter("iqs_received", "Requests and answers that clients and components sent.", onStanzas, func() int64 { return s.table.Stats.IQs.Load() }),
		counter("stanzas_refused", "Stanzas that were answered by an error.", onStanzas, func() int64 { return s.table.Stats.Refused.Load() }),
		counter("stanzas_sent", "Stanzas sent to sessions.", onStanzas, func() int64 { return s.router.Stats.Sent.Load() }),
		counter("roster_presences_sent", "Presence stanzas sent to contacts.", onRosters, func() int64 { return s.roster.Stats.Presences.Load() }),
		counter("roster_pushes_sent", "Changes of contact lists sent to sessions.", onRosters, func() int64 { return s.roster.Stats.Pushes.Load() }),
		counter("rosters_sent", "Whole contact lists sent.", onRosters, func() int64 { return s.roster.Stats.Results.Load() }),
		counter("roster_deltas_sent", "Logins that got what had changed of a contact list only.", onRosters, func() int64 { return s.roster.Stats.Deltas.Load() }),
		gauge("room_occupants", "Clients in rooms.", onRooms, func() int64 { return s.rooms.Stats.Occupants.Load() }),
		gauge("rooms_loaded", "Rooms that are in memory, since somebody is there or was lately.", onRooms, func() int64 { return s.rooms.Stats.Loaded.Load() }),
		counter("room_messages", "Messages to all in a room.", onRooms, func() int64 { return s.rooms.Stats.Messages.Load() }),
		counter("room_stanzas_sent", "Stanzas sent to clients in rooms.", onRooms, func() int64 { return s.rooms.Stats.Sent.Load() }),
		counter("alias_messages", "Messages to aliases.", onRooms, func() int64 { return s.aliases.Stats.Messages.Load() }),
		counter("alias_copies", "Copies of these for members and guests.", onRooms, func() int64 { return s.aliases.Stats.Copies.Load() }),
		counter("alias_messages_refused", "Messages to aliases that their senders may not write to, or that were too many.", onRooms, func() int64 { return s.aliases.Stats.Refused.Load() }),
		counter("stanzas_blocked", "Stanzas that were not delivered since their sender is blocked.", onAbuse, func() int64 { return s.blocks.Stats.Refused.Load() }),
		counter("abuse_reports", "Reports of spam and abuse.", onAbuse, func() int64 { return s.blocks.Stats.Reported.Load() }),
		counter("bytes_in", "Bytes read from clients, without TLS.", onTraffic, func() int64 { return s.streams.BytesIn.Load() }),
		counter("bytes_out", "Bytes written to clients, without TLS.", onTraffic, func() int64 { return s.streams.BytesOut.Load() }),
		gauge("bytes_waiting", "Bytes that wait to be taken by clients.", onWaiting, func() int64 { return s.streams.Waiting.Load() }),
		gauge("bytes_held", "Bytes that wait for clients that are not looked at.", onWaiting, func() int64 { return s.router.Stats.Held.Load() }),
		gauge("bytes_unacknowledged", "Bytes that clients who can resume have not acknowledged.", onWaiting, func() int64 { return s.router.Stats.Queued.Load() }),
		counter("slow_peers", "Connections that were closed because too much waited for them.", onTrouble, func() int64 { return s.streams.SlowPeers.Load() }),
		counter("write_timeouts", "Connections that took nothing for too long.", onTrouble, func() int64 { return s.streams.WriteTimeouts.Load() }),
		counter("throttled_reads", "Reads that waited, since a client sent too much.", onTrouble, func() int64 { return s.streams.Throttled.Load() }),
		counter("sessions_overflowed", "Sessions whose unacknowledged stanzas outgrew their bounds.", onTrouble, func() int64 { return s.router.Stats.Overflowed.Load() }),
		counter("log_errors", "Errors for the log, with those that another line of it stands for.", onLog, func() int64 { return s.log.Stats.Errors.Load() }),
		counter("log_lines_withheld", "Lines of the log that were counted in another instead of being written.", onLog, func() int64 { return s.log.Stats.Withheld.Load() }),
		counter("history_messages", "Messages that were put into the history.", onHistory, func() int64 { return int64(s.archive.Stats().Messages) }),
		counter("history_rows", "Entries that these have in the histories of users and rooms.", onHistory, func() int64 { return int64(s.archive.Stats().Rows) }),
		counter("history_failures", "Messages that could not be put there, and were refused.", onHistory, func() int64 { return int64(s.archive.Stats().Failed) }),
		counter("history_queries", "Pages of history that clients asked for.", onHistory, func() int64 { return int64(s.archive.Stats().Queries) }),
		counter("push_published", "Notifications given to push services.", onPush, func() int64 { return s.push.Stats.Published.Load() }),
		counter("push_refused", "Notifications that push services refused.", onPush, func() int64 { return s.push.Stats.Refused.Load() }),
		counter("push_lost", "Notifications that push services did not answer.", onPush, func() int64 { return s.push.Stats.Lost.Load() }),
		counter("push_disabled", "Registrations that ended because of a push service's errors.", onPush, func() int64 { return s.push.Stats.Disabled.Load() }),
		counter("files_received", "Files that were uploaded.", onFiles, func() int64 { return s.uploads.Stats.Stored.Load() }),
		counter("file_bytes_received", "Their bytes.", onFileBytes, func() int64 { return s.uploads.Stats.StoredBytes.Load() }),
		counter("files_refused", "Uploads that broke off, or were not as announced.", onFiles, func() int64 { return s.uploads.Stats.Failed.Load() }),
		counter("files_served", "Answers that carry a file or a part of one.", onFiles, func() int64 { return s.uploads.Stats.Served.Load() }),
		gauge("proxied_streams", "Transfers of files through the proxy that are under way.", onFiles, func() int64 { return s.proxy.Stats.Streams.Load() }),
		counter("proxied_bytes", "Bytes that the proxy carried.", onFileBytes, func() int64 { return s.proxy.Stats.Bytes.Load() }),
		counter("proxied_refused", "Connections to the proxy that were too many, or not what they should be.", onFiles, func() int64 { return s.proxy.Stats.Refused.Load() }),
		gauge("components_connected", "Components that are connected.", onComponents, func() int64 { return s.components.Stats.Connected.Load() }),
		counter("components_refused", "Components that were not let in.", onComponents, func() int64 { return s.components.Stats.Refused.Load() }),
		counter("component_stanzas_sent", "Stanzas sent to components.", onComponents, func() int64 { return s.components.Stats.Sent.Load() }),
		counter("component_stanzas_received", "Stanzas that components sent.", onComponents, func() int64 { return s.components.Stats.Received.Load() }),
		counter("api_requests", "Requests of programs over HTTP.", onAPI, func() int64 { return s.api.Requests.Load() }),
		counter("api_requests_refused", "Requests without a token that is good, or too many.", onAPI, func() int64 { return s.api.Refused.Load() }),
	}
}

// Figures lists all that is counted and measured, for those who want to know what there is; none of it can be read.
func Figures() []metrics.Figure { return (*Server)(nil).figures() }

func counter(name, help, panel string, read func() int64) metrics.Figure {
	return metrics.Figure{Name: name, Help: help, Panel: panel, Read: read}
}

func gauge(name, help, panel string, read func() int64) metrics.Figure {
	return metrics.Figure{Name: name, Help: help, Kind: metrics.Gauge, Panel: panel, Read: read}
}

var (
	commitSeconds = metrics.Histogram{Name: metrics.Prefix + "history_commit_seconds", Help: "Time in which a commit of the history was on disk.", Panel: onCommits, Unit: "s"}
	commitGroup   = metrics.Histogram{Name: metrics.Prefix + "history_commit_updates", Help: "Readers of connections whose messages shared a commit.", Panel: onCommitGroup}
)

// Histograms lists the distributions.
func Histograms() []metrics.Histogram { return []metrics.Histogram{commitSeconds, commitGroup} }

// commits are the distributions of the history's commits.
type commits struct{ took, updates prometheus.Histogram }

func newCommits() *commits {
	return &commits{
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: commitSeconds.Name, Help: commitSeconds.Help,
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 14)}),
		updates: prometheus.NewHistogram(prometheus.HistogramOpts{Name: commitGroup.Name, Help: commitGroup.Help,
			Buckets: prometheus.ExponentialBuckets(1, 2, 12)}),
	}
}

func (c *commits) note(updates int, took time.Duration) {
	c.took.Observe(took.Seconds())
	c.updates.Observe(float64(updates))
}

// status tells of the commits so far.
func (c *commits) status() admin.CommitStatus {
	took, updates := snapshot(c.took), snapshot(c.updates)
	st := admin.CommitStatus{Commits: int64(took.GetSampleCount()), Half: quantile(took, 0.5), Most: quantile(took, 0.99)}
	if st.Commits > 0 {
		st.Shared = updates.GetSampleSum() / float64(updates.GetSampleCount())
	}
	return st
}

func snapshot(h prometheus.Histogram) *dto.Histogram {
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		return nil // the histogram is ours, and has no labels that could be wrong
	}
	return m.GetHistogram()
}

// quantile is the bound below which a part of what was measured lies, of those that are told apart; the highest, if it is above all.
func quantile(h *dto.Histogram, part float64) (bound float64) {
	for _, b := range h.GetBucket() {
		bound = b.GetUpperBound()
		if float64(b.GetCumulativeCount()) >= part*float64(h.GetSampleCount()) {
			break
		}
	}
	return bound
}

// serveMetrics serves the figures to Prometheus.
func (s *Server) serveMetrics(l net.Listener) error {
	if err := s.metrics.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func (s *Server) newMetrics() *http.Server {
	return &http.Server{
		Handler: metrics.Handler(s.figures(), s.commits.took, s.commits.updates), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
}

// WriteDashboard writes a Grafana dashboard of all figures.
func WriteDashboard(w io.Writer) error {
	return metrics.WriteDashboard(w, Figures(), Histograms())
}
