// Package config holds the settings of a confab server: what they are, what
// they mean, and where they come from.
//
// The struct Settings is the only list. Its doc tags are the manual: the sample
// file, the reference in the README and the help of the flags are made from
// them. A field named listen.starttls in the file is CONFAB_LISTEN_STARTTLS in
// the environment and --listen-starttls on the command line. A flag wins over
// the environment, the environment over the file, the file over the default.
package config

import (
	"path/filepath"
	"time"
)

// Settings are all settings of a server. A field's tags: toml is its name,
// doc its manual entry, live:"yes" says that a reload (SIGHUP) is enough to
// change it; everything else takes effect at the next start.
type Settings struct {
	Data    string   `toml:"data" doc:"The data folder: databases, control socket, certificates and confab.toml. Relative paths in other settings start here."`
	Domains []string `toml:"domains" doc:"The mail domains served. Everybody with an account on a domain sees everybody else on it, and nobody of the other domains."`

	Listen     Listen     `toml:"listen" doc:"Where clients connect. An address is host:port, or :port for all addresses of this machine; an empty list turns a listener off."`
	TLS        TLS        `toml:"tls" doc:"Certificates. confab speaks TLS or nothing, so it needs at least one."`
	Web        Web        `toml:"web" doc:"What is served over HTTP."`
	Upload     Upload     `toml:"upload" doc:"Files that people send. They are kept as long as the messages that link them; where messages are kept forever, so are files."`
	Log        Log        `toml:"log" doc:"The log goes to standard error."`
	Roster     Roster     `toml:"roster" doc:"Contact lists."`
	Rooms      Rooms      `toml:"rooms" doc:"Group rooms at conference.DOMAIN, besides those of aliases."`
	PubSub     PubSub     `toml:"pubsub" doc:"Nodes at pubsub.DOMAIN that people publish to and subscribe to. What clients keep in accounts is not limited by this."`
	Archive    Archive    `toml:"archive" doc:"The history. It cannot be turned off."`
	Auth       Auth       `toml:"auth" doc:"Passwords."`
	Session    Session    `toml:"session" doc:"Client sessions."`
	Components Components `toml:"components" doc:"Programs that bring domains of their own into the server: bridges to other networks, push services, bots (XEP-0114). They connect to listen.component."`
	Calls      Calls      `toml:"calls" doc:"Servers that clients need for audio and video calls. confab carries no calls itself; it tells clients of a TURN server such as coturn, with credentials that expire (XEP-0215)."`
	Proxy      Proxy      `toml:"proxy" doc:"Files between two clients that cannot reach one another, for old clients (XEP-0065). Newer ones upload files. It is there if listen.proxy is."`
	Contact    Contact    `toml:"contact" doc:"Whom to write to, as clients show it (XEP-0157): lists of addresses, each a URI. All domains share them."`
	Policy     Policy     `toml:"policy" doc:"What becomes of people's data, as clients show it (XEP-0504), besides archive.retention. All domains share it."`
	Limits     Limits     `toml:"limits" doc:"What one peer may cost. The defaults suit a server of some thousand people."`
	Store      Store      `toml:"store" doc:"The databases."`
}

// Listen holds the listen addresses.
type Listen struct {
	StartTLS  []string `toml:"starttls" doc:"Plain connections that must turn to TLS before anything else (RFC 6120)."`
	TLS       []string `toml:"tls" doc:"Connections that are TLS from the first byte (XEP-0368). Phones get through more firewalls with it."`
	HTTPS     []string `toml:"https" doc:"HTTPS, for clients in browsers and for files. Ports 5443 and 443 are usual."`
	HTTP      []string `toml:"http" doc:"Plain HTTP for a reverse proxy that brings TLS. Only web.proxies are answered. Give it an address that nobody else reaches, such as 127.0.0.1:5280."`
	Metrics   []string `toml:"metrics" doc:"Figures for Prometheus, at /metrics, without TLS or a password: keep it to this machine, such as 127.0.0.1:9280. 'confab config grafana' prints a dashboard."`
	Proxy     []string `toml:"proxy" doc:"Where clients connect that send files through proxy.DOMAIN; port 7777 is usual. It has no TLS: clients that want secrecy encrypt what they send."`
	Component []string `toml:"component" doc:"Where components connect, without TLS: keep it to this machine or to a network that nobody else is on. It is opened if components.accept names any."`
}

// TLS names the certificate files.
type TLS struct {
	Certificate []string `toml:"certificate" live:"yes" doc:"PEM files, each a certificate with its chain. With several, each domain gets the one that names it, and the first is for everybody else."`
	Key         []string `toml:"key" live:"yes" doc:"PEM files with the private keys, in the same order."`
}

// Web says how the web side is reached.
type Web struct {
	URL     string   `toml:"url" live:"yes" doc:"How clients reach listen.https, or the reverse proxy in front of listen.http: https://chat.example.com:5443. It goes into the addresses of files and into host-meta; all domains share it, and a certificate has to name its host. Empty: https, the user's mail domain, and the port of listen.https."`
	Origins []string `toml:"origins" live:"yes" doc:"Web sites whose pages may log people in over WebSocket and BOSH: https://chat.example.com, https://*.example.com, or * for all. Logging in takes a password, no cookie, so a page gains nothing by being let in; * lets people use the web client of their choice."`
	API     Switch   `toml:"api" live:"yes" doc:"on: programs that have a token, which 'confab token create' makes, can do over HTTP what the command line can, at /api/v1/."`
	Proxies []string `toml:"proxies" live:"yes" doc:"Addresses and networks of reverse proxies: they are believed when they tell in X-Forwarded-For who asks. Their own X-Forwarded-Proto, if they send it, must say https."`
}

// Upload bounds the files that people send.
type Upload struct {
	MaxFile Size `toml:"max_file" live:"yes" doc:"The largest file."`
	Quota   Size `toml:"quota" live:"yes" doc:"What all files of a user may have together."`
}

// Log says what is logged, and how.
type Log struct {
	Level  LogLevel  `toml:"level" live:"yes" doc:"debug, info, warn or error."`
	Format LogFormat `toml:"format" doc:"text or json."`
}

// Roster holds the rules for contact lists.
type Roster struct {
	Domain RosterMode `toml:"domain" doc:"Who is in everybody's contact list: all of the domain, one's own groups, or nobody (off: people add one another). auto is all up to 1,000 listed users on the domain, and groups above."`
}

// Rooms holds the rules for rooms that people make.
type Rooms struct {
	Create RoomCreators `toml:"create" live:"yes" doc:"Who may make rooms: admins, the administrators of the domain, or users, everybody on it, up to 200 each."`
}

// PubSub holds the rules for the publish-subscribe service.
type PubSub struct {
	Create NodeCreators `toml:"create" live:"yes" doc:"Who may make nodes: users, everybody on the domain, admins, its administrators, or nobody."`
	Nodes  int          `toml:"nodes" live:"yes" doc:"How many nodes a user may have made, at least 1."`
	Quota  Size         `toml:"quota" live:"yes" doc:"What may be in all of a user's nodes together."`
}

// Archive holds the rules for the history.
type Archive struct {
	Retention Retention `toml:"retention" live:"yes" doc:"How long messages are kept: forever, or a time of at least 30d."`
}

// Auth holds the rules for passwords.
type Auth struct {
	Iterations int      `toml:"iterations" doc:"SCRAM iterations for passwords set from now on: more make a stolen database harder to use, and each login of a new device slower. At least 4096."`
	Tokens     Duration `toml:"tokens" doc:"How long a device that has logged in may stay away and still come back without the password, by its token (XEP-0484). At least 1h."`
	Rotation   Duration `toml:"rotation" doc:"How old a token gets before the device is given a new one."`
}

// Session holds the rules for client sessions.
type Session struct {
	Resume Duration `toml:"resume" doc:"How long a client that lost its connection may come back to its session (XEP-0198). 0s: not at all."`
}

// Components are the programs that may connect.
type Components struct {
	Accept []Component `toml:"accept" doc:"Who may connect: [{name = \"irc.example.com\", secret = \"...\"}], or a table [[components.accept]] for each. name is its domain, secret what it has to know, and domain the mail domain whose users deal with it, if its name is not below that."`
}

// Component is a program with a domain of its own.
type Component struct {
	Name   string `toml:"name" json:"name"`
	Secret Secret `toml:"secret" json:"secret"`
	Domain string `toml:"domain" json:"domain,omitempty"`
}

// Calls are the servers that clients are told of.
type Calls struct {
	Servers []CallServer `toml:"servers" live:"yes" doc:"The servers: [{type = \"turn\", host = \"turn.example.com\", secret = \"...\"}], or a table [[calls.servers]] for each. type is stun, turn, stuns or turns; secret what the TURN server shares with confab (coturn: static-auth-secret), or there are username and password. Also port, transport (udp or tcp), ttl (how long credentials hold: 12h), and domain, if only the users of one mail domain are to be told."`
}

// CallServer is a STUN or TURN server.
type CallServer struct {
	Type      string   `toml:"type" json:"type"`
	Host      string   `toml:"host" json:"host"`
	Port      int      `toml:"port" json:"port"`
	Transport string   `toml:"transport" json:"transport"`
	Secret    Secret   `toml:"secret" json:"secret,omitempty"`
	Username  string   `toml:"username" json:"username,omitempty"`
	Password  Secret   `toml:"password" json:"password,omitempty"`
	TTL       Duration `toml:"ttl" json:"ttl"`
	Domain    string   `toml:"domain" json:"domain,omitempty"`
}

// Proxy bounds the proxy for files.
type Proxy struct {
	Host    string `toml:"host" live:"yes" doc:"The host name or address by which clients reach listen.proxy. Empty: the user's mail domain."`
	Rate    Size   `toml:"rate" live:"yes" doc:"Bytes a second that one file may take."`
	Streams int    `toml:"streams" live:"yes" doc:"Files that one user may have under way at a time."`
}

// Limits bound what one peer may cost.
type Limits struct {
	StanzaBeforeLogin Size     `toml:"stanza_before_login" live:"yes" doc:"The largest element a client may send before it logged in."`
	Stanza            Size     `toml:"stanza" live:"yes" doc:"The largest stanza a client may send."`
	StanzaRate        int      `toml:"stanza_rate" live:"yes" doc:"Stanzas a second that one connection may send in the long run; above it confab reads more slowly."`
	ByteRate          Size     `toml:"byte_rate" live:"yes" doc:"Bytes a second that one connection may send in the long run; above it confab reads more slowly."`
	OutBuffer         Size     `toml:"out_buffer" live:"yes" doc:"What may wait for one slow client before its connection is closed. The session can be resumed, and the history has everything."`
	OutBuffers        Size     `toml:"out_buffers" live:"yes" doc:"The same for all clients together."`
	ResumeStanzas     int      `toml:"resume_stanzas" doc:"How many stanzas are kept for a session that waits to be resumed, and besides ten times as many presences."`
	TLSHandshake      Duration `toml:"tls_handshake" live:"yes" doc:"How long a TLS handshake may take."`
	Login             Duration `toml:"login" doc:"How long a connection may take until it has logged in."`
	Sessions          int      `toml:"sessions" doc:"How many sessions one user may have at a time: one for each device that is connected, or waits to be resumed."`
	LoginTries        int      `toml:"login_tries" doc:"Login attempts on one connection."`
	LoginFailures     int      `toml:"login_failures" doc:"Wrong passwords a minute from one network address; further attempts have to wait."`
}

// Store holds what the databases need to know.
type Store struct {
	StateSpace   Size `toml:"state_space" doc:"Address space reserved for state.db (users, contacts). It is no memory and no disk; when the file outgrows it, writers pause now and then."`
	ArchiveSpace Size `toml:"archive_space" doc:"The same for archive.db (the history)."`
}

// DefaultData is the data folder if nothing else is said.
const DefaultData = "/var/lib/confab"

// FileName is the name of the settings file in the data folder.
const FileName = "confab.toml"

// Default returns the settings of a server that was told nothing.
func Default() *Settings {
	return &Settings{
		Data:   DefaultData,
		Listen: Listen{StartTLS: []string{":5222"}, TLS: []string{":5223"}, HTTPS: []string{":5443"}, HTTP: []string{}, Metrics: []string{}, Proxy: []string{}, Component: []string{"127.0.0.1:5347"}},
		TLS:    TLS{Certificate: []string{"tls/cert.pem"}, Key: []string{"tls/key.pem"}},
		Web:    Web{API: Off, Origins: []string{"*"}, Proxies: []string{"127.0.0.0/8", "::1"}},
		Upload: Upload{MaxFile: 100 * MiB, Quota: 5 * GiB},
		Log:    Log{Level: "info", Format: "text"},
		Roster: Roster{Domain: RosterAuto},
		Rooms:  Rooms{Create: RoomsByAdmins},
		PubSub: PubSub{Create: NodesByUsers, Nodes: 100, Quota: 20 * MiB},
		Auth:   Auth{Iterations: 10000, Tokens: Duration{21 * 24 * time.Hour}, Rotation: Duration{24 * time.Hour}},
		Session: Session{
			Resume: Duration{10 * time.Minute},
		},
		Components: Components{Accept: []Component{}},
		Calls:      Calls{Servers: []CallServer{}},
		Proxy:      Proxy{Rate: 8 * MiB, Streams: 10},
		Contact:    Contact{Admin: []string{}, Abuse: []string{}, Feedback: []string{}, Sales: []string{}, Security: []string{}, Status: []string{}, Support: []string{}},
		Policy:     Policy{Access: []string{"admins"}, AtRest: Off},
		Limits: Limits{
			StanzaBeforeLogin: 10 * KiB,
			Stanza:            256 * KiB,
			StanzaRate:        1000,
			ByteRate:          MiB,
			OutBuffer:         MiB,
			OutBuffers:        256 * MiB,
			ResumeStanzas:     1000,
			TLSHandshake:      Duration{5 * time.Second},
			Login:             Duration{30 * time.Second},
			Sessions:          32,
			LoginTries:        8,
			LoginFailures:     60,
		},
		Store: Store{StateSpace: 4 * GiB, ArchiveSpace: 64 * GiB},
	}
}

// Path returns the place of a file that a setting names, or of one in the
// data folder.
func (s *Settings) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.Data, name)
}

// The files of the data folder.

func (s *Settings) StateDB() string          { return s.Path("state.db") }
func (s *Settings) ArchiveDB() string        { return s.Path("archive.db") }
func (s *Settings) ControlSocket() string    { return s.Path("control.sock") }
func (s *Settings) NewControlSocket() string { return s.ControlSocket() + ".new" } // until it can be used
func (s *Settings) Uploads() string          { return s.Path("upload") }
func (s *Settings) SearchIndex() string      { return s.Path("search") }
func (s *Settings) AuditLog() string         { return s.Path("audit.log") }
