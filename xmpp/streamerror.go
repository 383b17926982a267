package xmpp

// StreamCondition is a defined condition of stream errors (RFC 6120 §4.9.3).
type StreamCondition string

// The defined conditions.
const (
	StreamBadFormat              StreamCondition = "bad-format"
	StreamBadNamespacePrefix     StreamCondition = "bad-namespace-prefix"
	StreamConflict               StreamCondition = "conflict"
	StreamConnectionTimeout      StreamCondition = "connection-timeout"
	StreamHostGone               StreamCondition = "host-gone"
	StreamHostUnknown            StreamCondition = "host-unknown"
	StreamImproperAddressing     StreamCondition = "improper-addressing"
	StreamInternalServerError    StreamCondition = "internal-server-error"
	StreamInvalidFrom            StreamCondition = "invalid-from"
	StreamInvalidNamespace       StreamCondition = "invalid-namespace"
	StreamInvalidXML             StreamCondition = "invalid-xml"
	StreamNotAuthorized          StreamCondition = "not-authorized"
	StreamNotWellFormed          StreamCondition = "not-well-formed"
	StreamPolicyViolation        StreamCondition = "policy-violation"
	StreamRemoteConnectionFailed StreamCondition = "remote-connection-failed"
	StreamReset                  StreamCondition = "reset"
	StreamResourceConstraint     StreamCondition = "resource-constraint"
	StreamRestrictedXML          StreamCondition = "restricted-xml"
	StreamSeeOtherHost           StreamCondition = "see-other-host"
	StreamSystemShutdown         StreamCondition = "system-shutdown"
	StreamUndefinedCondition     StreamCondition = "undefined-condition"
	StreamUnsupportedEncoding    StreamCondition = "unsupported-encoding"
	StreamUnsupportedFeature     StreamCondition = "unsupported-feature"
	StreamUnsupportedStanzaType  StreamCondition = "unsupported-stanza-type"
	StreamUnsupportedVersion     StreamCondition = "unsupported-version"
)

// StreamError ends a stream (RFC 6120 §4.9). Like Error it goes to the peer as it is written.
type StreamError struct {
	Condition StreamCondition
	Text      string // in English, for people
	Host      string // see-other-host: where to (RFC 6120 §4.9.3.19)
	App       []byte // an application-specific condition: one self-contained element
}

// NewStreamError returns a stream error.
func NewStreamError(c StreamCondition, text string) *StreamError {
	return &StreamError{Condition: c, Text: text}
}

// Error makes *StreamError a Go error.
func (e *StreamError) Error() string {
	if e.Text == "" {
		return "stream error: " + string(e.Condition)
	}
	return "stream error: " + string(e.Condition) + ": " + e.Text
}

// Append appends <stream:error/>. The prefix stream must be bound, as it is on every stream of ours.
func (e *StreamError) Append(dst []byte) []byte {
	dst = append(dst, "<stream:error>"...)
	dst = e.appendInner(dst)
	return append(dst, "</stream:error>"...)
}

// AppendDeclared appends the error with its namespace declared, for WebSocket and BOSH (RFC 7395 §3.3.3).
func (e *StreamError) AppendDeclared(dst []byte) []byte {
	dst = append(dst, "<stream:error xmlns:stream='"+NSStream+"'>"...)
	dst = e.appendInner(dst)
	return append(dst, "</stream:error>"...)
}

func (e *StreamError) appendInner(dst []byte) []byte {
	c := e.Condition
	if c == "" {
		c = StreamUndefinedCondition
	}
	dst = append(append(dst, '<'), c...)
	dst = append(dst, " xmlns='"+NSStreams+"'"...)
	if e.Host != "" && c == StreamSeeOtherHost {
		dst = append(AppendText(append(dst, '>'), e.Host), "</"...)
		dst = append(append(dst, c...), '>')
	} else {
		dst = append(dst, '/', '>')
	}
	if e.Text != "" {
		dst = append(dst, "<text xmlns='"+NSStreams+"' xml:lang='en'>"...)
		dst = append(AppendText(dst, e.Text), "</text>"...)
	}
	return append(dst, e.App...)
}
