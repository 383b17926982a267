"""Components made with slixmpp: a bridge, a push service."""
import asyncio
import os

import slixmpp

from slixmpp_client import DOMAIN, PATIENCE, ROOMS, Client, bare, check, same

NAME = "bridge." + DOMAIN
SECRET = "the secret of the bridge"


class Component(slixmpp.ComponentXMPP):
    """A component that keeps what it hears until somebody asks for it."""

    events = ("session_start", "disconnected", "message", "presence_subscribe", "presence_subscribed", "presence_probe",
              "presence_available", "presence_unavailable", "presence_error")

    def __init__(self, secret=SECRET, plugins=()):
        super().__init__(NAME, secret, "127.0.0.1", int(os.environ["COMPONENT_PORT"]))
        self.heard, self.passed, self.news = [], [], asyncio.Event()
        self.auto_authorize = self.auto_subscribe = None
        for plugin in ("xep_0030", "xep_0199", *plugins):
            self.register_plugin(plugin)
        for event in self.events:
            self.add_event_handler(event, lambda data, event=event: self.note(event, data))
        Client.open.append(self)

    note = Client.note
    hear = Client.hear

    async def come_online(self):
        self.connect()
        await self.hear("session_start")
        return self

    async def leave(self):
        if self.is_connected():
            self.disconnect()
            await self.hear("disconnected")


async def bridge():
    """A bridge: found in the services, people behind it as contacts, chat both ways and in the history."""
    alice = await Client("alice").come_online()
    gate = await Component().come_online()
    items = await alice["xep_0030"].get_items(DOMAIN)
    check(NAME in [i[0] for i in items["disco_items"]["items"]], "the bridge is none of the services")
    gate["xep_0030"].add_identity("gateway", "irc", name="Bridge")
    info = await alice["xep_0030"].get_info(NAME)
    check(("gateway", "irc", None, "Bridge") in info["disco_info"]["identities"], "it does not say what it is")

    friend = "friend@" + NAME
    alice.send_presence_subscription(friend, ptype="subscribe")
    asked = await gate.hear("presence_subscribe")
    same((asked["from"].bare, asked["to"].bare), (bare("alice"), friend), "who asks whom")
    gate.send_presence(pto=bare("alice"), pfrom=friend, ptype="subscribed")
    gate.send_presence(pto=bare("alice"), pfrom=friend + "/net", pshow="away")
    await alice.hear("changed_status", lambda p: p["from"] == friend + "/net" and p["type"] == "away")

    alice.chat(friend, "to the bridge")
    got = await gate.hear("message")
    same((got["from"], got["body"]), (alice.boundjid, "to the bridge"), "what the bridge heard")
    gate.send_message(mto=bare("alice"), mbody="from the bridge", mtype="chat", mfrom=friend + "/net")
    await alice.has_message("from the bridge")
    same([body for _, body in await alice.history(talker=friend)], ["to the bridge", "from the bridge"], "the history")

    await gate.leave()
    await alice.hear("changed_status", lambda p: p["from"] == friend + "/net" and p["type"] == "unavailable")
    alice.send_presence_subscription(friend, ptype="unsubscribe")
    await alice.update_roster(friend, subscription="remove")


async def bridge_of_a_stranger():
    """Who does not know the secret does not get in."""
    stranger = Component(secret="guessed")
    stranger.connect()
    await stranger.hear("disconnected")
    check(not any(event == "session_start" for event, _ in stranger.passed), "it was let in")


async def bridge_in_a_room():
    """Somebody behind a bridge is in a room of ours."""
    dora = await Client("dora", plugins=["xep_0045"]).come_online()
    room = "bridged@" + ROOMS
    await dora.enter(room, "dora")
    await dora["xep_0045"].set_room_config(slixmpp.JID(room), await dora["xep_0045"].get_room_config(slixmpp.JID(room)))
    gate = await Component().come_online()
    enter = gate.make_presence(pto=room + "/friend", pfrom="friend@%s/net" % NAME)
    enter.append(slixmpp.xmlstream.ET.Element("{http://jabber.org/protocol/muc}x"))
    enter.send()
    await dora.hear("groupchat_presence", lambda p: p["from"] == room + "/friend")
    gate.send_message(mto=room, mbody="hello from afar", mtype="groupchat", mfrom="friend@%s/net" % NAME)
    await dora.hear("groupchat_message", lambda m: m["from"] == room + "/friend" and m["body"] == "hello from afar")
    dora.say(room, "hello over there")
    await gate.hear("message", lambda m: m["body"] == "hello over there" and m["type"] == "groupchat")


async def push():
    """A push service hears that there is something for somebody who is away, and not what."""
    gate = await Component().come_online()
    published = asyncio.Queue()

    async def take(iq):
        iq.reply().send()
        published.put_nowait(iq)
    gate.register_handler(slixmpp.xmlstream.handler.CoroutineCallback(
        "push", slixmpp.xmlstream.matcher.MatchXPath(
            "{jabber:component:accept}iq/{http://jabber.org/protocol/pubsub}pubsub"), take))
    alice = await Client("alice", "phone").come_online()
    enable = alice.make_iq_set(ito=bare("alice"))
    enable.append(slixmpp.xmlstream.ET.Element("{urn:xmpp:push:0}enable", {"jid": NAME, "node": "n1"}))
    await enable.send()
    await alice.leave()
    bob = await Client("bob").come_online()
    bob.chat(bare("alice"), "wake up, secretly")
    iq = await asyncio.wait_for(published.get(), PATIENCE)
    same(iq["from"].bare, DOMAIN, "who publishes")
    text = str(iq)
    check("node=\"n1\"" in text and "secretly" not in text and "bob" not in text, "published was %s" % text)
    alice = await Client("alice", "phone").come_online()
    disable = alice.make_iq_set(ito=bare("alice"))
    disable.append(slixmpp.xmlstream.ET.Element("{urn:xmpp:push:0}disable", {"jid": NAME}))
    await disable.send()


CHECKS = [bridge, bridge_of_a_stranger, bridge_in_a_room, push]
