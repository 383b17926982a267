// stanza, over WebSocket and over BOSH.
import { createClient } from "stanza";
import { BOSH, DOMAIN, Heard, WEBSOCKET, bare, check, same, within } from "./check.mjs";

const open = [];

export class Person extends Heard {
  constructor(name, { transport = "websocket", password = `pw-${name}` } = {}) {
    super();
    const transports = transport === "bosh" ? { bosh: BOSH } : { websocket: WEBSOCKET };
    this.client = createClient({ jid: bare(name), password, transports, autoReconnect: false });
    // It takes any -PLUS that it knows, and then has nothing to bind to.
    this.client.sasl.disable("SCRAM-SHA-256-PLUS");
    this.client.sasl.disable("SCRAM-SHA-1-PLUS");
    const events = ["session:started", "auth:failed", "disconnected", "stream:management:resumed", "available", "chat", "groupchat"];
    for (const event of events) {
      this.client.on(event, (data) => this.note(event, data));
    }
    open.push(this);
  }

  async comeOnline() {
    this.client.connect();
    await this.hear("session:started");
    this.client.sendPresence();
    await this.fence();
    return this;
  }

  // fence returns when the server has worked off all that was sent.
  async fence() {
    await within(this.client.ping(DOMAIN), "a ping");
  }

  chat(to, body) {
    this.client.sendMessage({ to, type: "chat", body });
  }

  hasMessage(body) {
    return this.hear("chat", (m) => m.body === body);
  }
}

export async function end() {
  for (const person of open.splice(0)) {
    if (!person.client.transport) continue;
    await within(person.client.disconnect(), "the logout");
    await person.hear("disconnected");
  }
}

async function wrongPassword(transport) {
  const alice = new Person("alice", { transport, password: "wrong" });
  alice.client.connect();
  await alice.hear("auth:failed");
  check(!alice.client.sessionStarted, "logged in with a wrong password");
}

async function colleagues(transport) {
  const alice = await new Person("alice", { transport }).comeOnline();
  const roster = await within(alice.client.getRoster(), "the roster");
  const subscriptions = new Map(roster.items.map((i) => [i.jid, i.subscription]));
  for (const name of ["bob", "carol"]) same(subscriptions.get(bare(name)), "both", `the subscription to ${name}`);
}

async function chat(transport) {
  const alice = await new Person("alice", { transport }).comeOnline();
  const bob = await new Person("bob", { transport }).comeOnline();
  const there = `hello from stanza <&> ü over ${transport}`;
  const back = `hello to stanza over ${transport}`;
  alice.chat(bare("bob"), there);
  const got = await bob.hasMessage(there);
  same(got.from, alice.client.jid, "the sender");
  bob.chat(got.from, back);
  await alice.hasMessage(back);

  const page = await within(alice.client.searchHistory({ with: bare("bob"), paging: { max: 2, before: "" } }), "the history");
  const bodies = page.results.map((r) => r.item.message.body);
  same(JSON.stringify(bodies), JSON.stringify([there, back]), "the history");
}

export const checks = {
  "stanza: a wrong password is refused": () => wrongPassword("websocket"),
  "stanza: the colleagues are in the roster": () => colleagues("websocket"),
  "stanza: chat goes both ways, and is in the history": () => chat("websocket"),

  async "stanza: a broken connection is resumed"() {
    const alice = await new Person("alice").comeOnline();
    const bob = await new Person("bob").comeOnline();
    const { jid } = alice.client;
    alice.client.transport.socket.terminate();
    await alice.hear("disconnected");
    bob.chat(jid, "stanza: while alice was away");
    await bob.fence();
    alice.client.connect();
    await alice.hear("stream:management:resumed");
    await alice.hasMessage("stanza: while alice was away");
    alice.chat(bob.client.jid, "stanza: back again");
    same((await bob.hasMessage("stanza: back again")).from, jid, "the sender after the resumption");
  },

  "stanza over BOSH: a wrong password is refused": () => wrongPassword("bosh"),
  "stanza over BOSH: the colleagues are in the roster": () => colleagues("bosh"),
  "stanza over BOSH: chat goes both ways, and is in the history": () => chat("bosh"),
};
