// Package dialogue plays scripts against an XMPP server: people connect to it over real sockets, say
// things and hear things, and whatever is heard that the script does not say is a failure.
//
// It knows the server only by its sockets and by the Server interface, and reads XML with a reader of
// its own above encoding/xml, so a mistake of the server's lexer cannot hide itself here. The same
// scripts can be played against any other server for which somebody writes a Start func.
//
// # A script
//
// One behaviour a file, named after the behaviour. Lines beginning with # are comments, the first one
// is the title. Indented lines belong to the line above them.
//
//	# A chat message reaches the online colleague, RFC 6121 §8.5.2.1.1
//	Given domain example.com with romeo, juliet
//	Given romeo and juliet are online
//
//	romeo sends:
//	    <message to='juliet@example.com' type='chat'><body>hi</body></message>
//	juliet receives:
//	    <message from='{romeo}' to='juliet@example.com' type='chat'>
//	        <body>hi</body>
//	        <stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='{store:sid}'/>
//	    </message>
//	romeo hears nothing
//
// # What is given
//
//	Given domain example.com with romeo, juliet    users have the password pw-romeo, pw-juliet
//	Given romeo is named Romeo Montague            as the administrator's directory has it
//	Given romeo is in Montagues, Youngsters        groups of the directory
//	Given juliet is hidden                         or: disabled, an administrator
//	Given setting roster.domain = off              a line of the server's settings
//	Given component irc.example.com                may connect (XEP-0114), for the first domain; or: of capulet.example
//	Given romeo and juliet are contacts            both have subscribed to the other
//	Given romeo, juliet and nurse are online       they come online in turn, then everyone settles
//
// # Speakers
//
// A speaker is a connection: romeo, or romeo/orchard to have that resource and several of them. Where
// two domains have a user of that name, or for an address nobody has, write tybalt@capulet.example.
// {romeo} and {romeo/orchard} stand for the full address that the server bound. A component speaks under its name: it opens a
// connection, opens a stream, or connects, which is both and the handshake, and sends and receives as people do. Its stanzas
// are written as those of clients, in jabber:client.
//
//	romeo opens a connection                 TCP, or: over direct TLS, over WebSocket, over BOSH; with a version: over direct TLS 1.2
//	romeo opens a stream                     sends a stream header, or: to capulet.example; the answer is still to be received
//	romeo starts TLS                         the handshake after <proceed/>; or: starts TLS 1.2
//	romeo is refused TLS 1.1                 the handshake must fail
//	romeo secures the stream                 all of these: connection, stream, <starttls/>, handshake, stream, features
//	romeo tries SCRAM-SHA-1                  a login up to the server's last word, which is still to be received;
//	                                         or: with password "x", for juliet@example.com (the authzid), as "other",
//	                                         bound to tls-exporter, tls-server-end-point, nonsense or nothing
//	romeo logs in                            secures the stream if need be, SASL, new stream, features; or: with PLAIN
//	romeo connects                           the same, and a resource; or: connects over direct TLS, WebSocket, BOSH
//	romeo comes online                       the same, and the roster, and presence; what greets it is left out;
//	                                         or: over WebSocket, with priority 5; or: connects before, comes online later
//	romeo disconnects                        </stream:stream>, answered by the same, then the socket ends
//	romeo's connection drops                 the socket ends without a word; on return the server has noticed
//
// # Saying and hearing
//
//	romeo sends:                             one or more well-formed stanzas, in one write
//	romeo sends raw:                         any bytes
//	romeo receives:                          one or more stanzas, in this order
//	romeo receives in any order:             one or more stanzas
//	romeo hears nothing                      everything said before has been worked off, and nothing came
//	romeo ignores presence                   from now on; or: messages
//	romeo is offered:                        in the latest stream features, among others
//	romeo is not offered:
//	romeo is disconnected                    the socket ends; if the server ends the stream, romeo has answered
//	everyone settles                         everything said is worked off, what came is left out
//
// A stream header is written without its end, as it comes: <stream:stream from='example.com' …>, and
// </stream:stream> may be received like a stanza. Elements without a namespace are in jabber:client, and the prefix
// stream is bound. At the end of a script everyone must have heard nothing else.
//
// Nothing ever sleeps: "hears nothing" is a ping (with XEP-0198 an <r/>) behind everything that was
// said. With XEP-0198, requests of the server for acknowledgement are not answered and may be left out.
//
// # Patterns
//
// Attributes and children must all be there and no others, in whatever order. White space between
// elements does not count. Instead of a value or within it:
//
//	{any}              one character or more
//	{store:name}       the same, kept for later as {name}, in what is sent too
//	{name}             what was stored, or the full address of a speaker
//	{not:name}         anything but that
//	{re:[0-9]+}        a regular expression for all of this part
//	{time}             a UTC stamp, XEP-0082; {now} and {now-25h}: one within a minute of that, in sends exactly that
//	{base64:…}         the base64 form, with \0 for a zero byte
//	{decoded:…}        base64 that decodes to this, a pattern
//	{hex:c328}         these bytes
//	{repeat:100:text}  the text a hundred times
//	{sha1:…}           the SHA-1 of the bytes, in base64
//	{hmac:key:text}    the HMAC-SHA-256, as bytes
//	{...}              in an element: further children; in a tag: further attributes
//	{in order}         in an element: its children come in this order
//
// # The world around
//
//	time passes 25h
//	the operator runs: user disable juliet@example.com      indented lines: standard input
//	the operator cannot run: user add juliet@example.com    indented lines: what the error says, a pattern
//	the operator reads:                                     indented lines: what the last command printed, {...} for any lines
//	the server restarts
//	the server is killed                                    and started again
package dialogue
