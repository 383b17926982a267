// @xmpp/client, of xmpp.js, over WebSocket.
//
// It does not count the answers to its own requests (XEP-0198 §4), so it acknowledges less than it has, and what it
// heard last comes again in the user's next session: what is said in a check is said in no other.
import { client, xml } from "@xmpp/client";
import { WebSocket } from "ws";
import { DOMAIN, Heard, WEBSOCKET, bare, check, same, within } from "./check.mjs";

globalThis.WebSocket ??= WebSocket; // Node has had one of its own since 22

const open = [];

class Person extends Heard {
  constructor(name, { resource, password = `pw-${name}` } = {}) {
    super();
    this.xmpp = client({ service: WEBSOCKET, domain: DOMAIN, username: name, password, resource });
    this.xmpp.reconnect.stop();
    this.xmpp.on("error", (error) => this.note("error", error));
    this.xmpp.on("disconnect", () => this.note("disconnect"));
    this.xmpp.on("stanza", (stanza) => this.note(stanza.name, stanza));
    this.xmpp.streamManagement.on("resumed", () => this.note("resumed"));
    open.push(this);
  }

  async comeOnline() {
    this.jid = await within(this.xmpp.start(), "the login");
    await this.xmpp.send(xml("presence"));
    await this.fence();
    return this;
  }

  // fence returns when the server has worked off all that was sent.
  async fence() {
    await within(this.xmpp.iqCaller.get(xml("ping", "urn:xmpp:ping"), DOMAIN), "a ping");
  }

  chat(to, body) {
    return this.xmpp.send(xml("message", { to, type: "chat" }, xml("body", {}, body)));
  }

  hasMessage(body) {
    return this.hear("message", (m) => m.getChildText("body") === body);
  }
}

export async function end() {
  for (const person of open.splice(0)) {
    if (person.xmpp.status === "online") await within(person.xmpp.stop(), "the logout");
  }
}

export const checks = {
  async "xmpp.js: a wrong password is refused"() {
    const alice = new Person("alice", { password: "wrong" });
    const error = await within(alice.xmpp.start().then(() => undefined, (e) => e), "the login");
    check(error, "logged in with a wrong password");
    same(error.condition, "not-authorized", "the error");
  },

  async "xmpp.js: the colleagues are in the roster"() {
    const alice = await new Person("alice").comeOnline();
    const roster = await within(alice.xmpp.iqCaller.get(xml("query", "jabber:iq:roster")), "the roster");
    const subscriptions = new Map(roster.getChildren("item").map((i) => [i.attrs.jid, i.attrs.subscription]));
    for (const name of ["bob", "carol"]) same(subscriptions.get(bare(name)), "both", `the subscription to ${name}`);
  },

  async "xmpp.js: chat goes both ways, and is in the history"() {
    const alice = await new Person("alice").comeOnline();
    const bob = await new Person("bob").comeOnline();
    await alice.chat(bare("bob"), "hello from xmpp.js <&> ü");
    const got = await bob.hasMessage("hello from xmpp.js <&> ü");
    same(got.attrs.from, alice.jid.toString(), "the sender");
    await bob.chat(got.attrs.from, "hello to xmpp.js");
    await alice.hasMessage("hello to xmpp.js");

    const before = xml("set", "http://jabber.org/protocol/rsm", xml("max", {}, "2"), xml("before"));
    const query = xml("iq", { type: "set" }, xml("query", "urn:xmpp:mam:2", before));
    const answer = await within(alice.xmpp.iqCaller.request(query), "the history");
    check(answer.getChild("fin", "urn:xmpp:mam:2"), `the history ends with ${answer}`);
    for (const body of ["hello from xmpp.js <&> ü", "hello to xmpp.js"]) {
      await alice.hear("message", (m) => m.getChild("result", "urn:xmpp:mam:2")?.getChild("forwarded", "urn:xmpp:forward:0")
        .getChild("message").getChildText("body") === body);
    }
  },

  async "xmpp.js: a broken connection is resumed"() {
    const alice = await new Person("alice").comeOnline();
    const bob = await new Person("bob").comeOnline();
    const { id } = alice.xmpp.streamManagement;
    check(id, "there is no stream management");
    alice.xmpp.socket.socket.terminate();
    await alice.hear("disconnect");
    await bob.chat(alice.jid.toString(), "xmpp.js: while alice was away");
    await bob.fence();
    await within(alice.xmpp.reconnect.reconnect(), "the resumption");
    await alice.hear("resumed");
    await alice.hasMessage("xmpp.js: while alice was away");
    await alice.chat(bob.jid.toString(), "xmpp.js: back again");
    same((await bob.hasMessage("xmpp.js: back again")).attrs.from, alice.jid.toString(), "the sender after the resumption");
    same(alice.xmpp.streamManagement.id, id, "the session");
  },
};
