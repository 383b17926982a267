package server

import (
	"cmp"
	"slices"

	"confab/xmpp/feature"
)

// core is what no feature states, as it is built into streams and sessions.
var core = []feature.XEP{
	feature.Implements(4, "2.13.2", feature.Complete, "as other specifications use it"),
	feature.Implements(59, "1.0", feature.Complete, "in the history, in searches and in publish-subscribe"),
	feature.Implements(106, "1.1.1", feature.Complete, "mail addresses as localparts"),
	feature.Implements(124, "1.11.2", feature.Complete, "no acknowledgement of requests by the server, one stream a session, no script syntax"),
	feature.Implements(156, "1.4.0", feature.Complete, ""),
	feature.Implements(198, "1.6.3", feature.Complete, ""),
	feature.Implements(227, "1.1", feature.Partial, "users, without history and offline messages"),
	feature.Implements(206, "1.4", feature.Complete, ""),
	feature.Implements(368, "1.1.0", feature.Complete, "for clients"),
	feature.Implements(386, "1.1.0", feature.Complete, ""),
	feature.Implements(388, "1.0.4", feature.Complete, "no tasks after a login"),
	feature.Implements(440, "1.0.0", feature.Complete, "tls-exporter, tls-server-end-point"),
	feature.Implements(474, "0.5.0", feature.Complete, ""),
	feature.Implements(484, "0.2.0", feature.Complete, "HT-SHA-256 with tls-exporter, tls-server-end-point and without; not in early data of TLS"),
}

// Specification is a XEP with its name.
type Specification struct {
	feature.XEP
	Title string // empty: not in titles
}

// Specifications lists the XEPs that the server speaks, by number.
func (s *Server) Specifications() []Specification {
	var list []Specification
	add := func(xeps []feature.XEP) {
		for _, x := range xeps {
			list = append(list, Specification{x, titles[x.Number]})
		}
	}
	add(core)
	for _, f := range s.table.Features() {
		add(f.Implements)
	}
	slices.SortStableFunc(list, func(a, b Specification) int { return cmp.Compare(a.Number, b.Number) })
	return list
}

// titles are the names that the XSF gave its specifications.
var titles = map[int]string{
	4:   "Data Forms",
	12:  "Last Activity",
	30:  "Service Discovery",
	33:  "Extended Stanza Addressing",
	45:  "Multi-User Chat",
	48:  "Bookmarks",
	49:  "Private XML Storage",
	50:  "Ad-Hoc Commands",
	54:  "vcard-temp",
	55:  "Jabber Search",
	59:  "Result Set Management",
	60:  "Publish-Subscribe",
	65:  "SOCKS5 Bytestreams",
	68:  "Field Standardization for Data Forms",
	77:  "In-Band Registration",
	82:  "XMPP Date and Time Profiles",
	84:  "User Avatar",
	85:  "Chat State Notifications",
	92:  "Software Version",
	106: "JID Escaping",
	114: "Jabber Component Protocol",
	115: "Entity Capabilities",
	124: "Bidirectional-streams Over Synchronous HTTP (BOSH)",
	128: "Service Discovery Extensions",
	131: "Stanza Headers and Internet Metadata",
	133: "Service Administration",
	148: "Instant Messaging Intelligence Quotient (IM IQ)",
	153: "vCard-Based Avatars",
	156: "Discovering Alternative XMPP Connection Methods",
	157: "Contact Addresses for XMPP Services",
	160: "Best Practices for Handling Offline Messages",
	163: "Personal Eventing Protocol",
	172: "User Nickname",
	178: "Best Practices for Use of SASL EXTERNAL with Certificates",
	185: "Dialback Key Generation and Validation",
	191: "Blocking Command",
	198: "Stream Management",
	199: "XMPP Ping",
	202: "Entity Time",
	203: "Delayed Delivery",
	206: "XMPP Over BOSH",
	215: "External Service Discovery",
	220: "Server Dialback",
	222: "Persistent Storage of Public Data via PubSub",
	223: "Persistent Storage of Private Data via PubSub",
	227: "Portable Import/Export Format for XMPP-IM Servers",
	249: "Direct MUC Invitations",
	280: "Message Carbons",
	286: "Mobile Considerations on LTE Networks",
	288: "Bidirectional Server-to-Server Connections",
	292: "vCard4 Over XMPP",
	297: "Stanza Forwarding",
	313: "Message Archive Management",
	317: "Hats",
	333: "Displayed Markers",
	334: "Message Processing Hints",
	352: "Client State Indication",
	357: "Push Notifications",
	359: "Unique and Stable Stanza IDs",
	363: "HTTP File Upload",
	368: "SRV records for XMPP over TLS",
	377: "Blocking Command Reports",
	379: "Pre-Authenticated Roster Subscription",
	384: "OMEMO Encryption",
	386: "Bind 2",
	388: "Extensible SASL Profile",
	398: "User Avatar to vCard-Based Avatars Conversion",
	401: "Ad-hoc Account Invitation Generation",
	402: "PEP Native Bookmarks",
	410: "MUC Self-Ping (Schrödinger's Chat)",
	421: "Occupant identifiers for semi-anonymous MUCs",
	424: "Message Retraction",
	425: "Moderated Message Retraction",
	428: "Fallback Indication",
	431: "Full Text Search in MAM",
	440: "SASL Channel-Binding Type Capability",
	441: "Message Archive Management Preferences",
	445: "Pre-Authenticated In-Band Registration",
	461: "Message Replies",
	474: "SASL SCRAM Downgrade Protection",
	479: "XMPP Compliance Suites 2023",
	484: "Fast Authentication Streamlining Tokens",
	486: "MUC Avatars",
	490: "Message Displayed Synchronization",
	492: "Chat notification settings",
	504: "Data Policy",
	506: "No-reply JIDs",
}
