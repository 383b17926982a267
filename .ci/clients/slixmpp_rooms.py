"""Rooms that people make. Only administrators may, as it is now: dora is one."""
from slixmpp import JID

from slixmpp_client import DOMAIN, PATIENCE, ROOMS, Client, bare, check, is_refused, same

PLUGINS = ("xep_0045", "xep_0249", "xep_0421")


def occupant(room, nick, type=None):
    return lambda p: str(p["from"]) == "%s/%s" % (room, nick) and (type is None or p["type"] == type)


async def make(room, **settings):
    """Has dora make a room with these settings; returns her client."""
    dora = await Client("dora", plugins=PLUGINS).come_online()
    own, _, _, _ = await dora.enter(room, "dora")
    same(own["muc"]["status_codes"] & {110, 201}, {110, 201}, "the status codes of a new room")
    same((own["muc"]["affiliation"], own["muc"]["role"]), ("owner", "moderator"), "who made it")
    config = await dora["xep_0045"].get_room_config(JID(room))
    for field, value in settings.items():
        check("muc#roomconfig_" + field in config.get_fields(), "there is no setting %s" % field)
        config.get_fields()["muc#roomconfig_" + field]["value"] = value
    await dora["xep_0045"].set_room_config(JID(room), config)
    return dora


async def room_is_made():
    """Who may makes a room, which stays closed until it is configured; others may not."""
    room = "cave@" + ROOMS
    bob = await Client("bob", plugins=PLUGINS).come_online()
    check("http://jabber.org/protocol/muc" in (await bob["xep_0030"].get_info(ROOMS))["disco_info"]["features"], "the service is none")
    services = (await bob["xep_0030"].get_items(DOMAIN))["disco_items"]["items"]
    check(ROOMS in {str(i[0]) for i in services}, "the service is not found")
    await is_refused("not-allowed", bob.enter(room, "bob"))
    dora = await Client("dora", plugins=PLUGINS).come_online()
    await dora.enter(room, "dora")
    await is_refused("item-not-found", bob.enter(room, "bob"))
    config = await dora["xep_0045"].get_room_config(JID(room))
    config.get_fields()["muc#roomconfig_roomname"]["value"] = "A dark cave"
    await dora["xep_0045"].set_room_config(JID(room), config)
    await bob.enter(room, "bob")
    listed = (await bob["xep_0030"].get_items(ROOMS))["disco_items"]["items"]
    check((room, "A dark cave") in {(str(j), t) for j, _, t in listed}, "the room is not listed by its name")
    await is_refused("forbidden", bob["xep_0045"].get_room_config(JID(room)))
    await is_refused("forbidden", bob["xep_0045"].destroy(JID(room)))
    await dora["xep_0045"].destroy(JID(room), "too dark", altroom=JID("lounge@" + ROOMS))
    end = await bob.hear("groupchat_presence", occupant(room, "bob", "unavailable"))
    same((str(end["muc"]["destroy"]["jid"]), end["muc"]["destroy"]["reason"]), ("lounge@" + ROOMS, "too dark"), "the end of the room")


async def room_is_locked():
    """A room for members with a password: invitation, refusals, entry, and the lists of its people."""
    room = "vault@" + ROOMS
    dora = await make(room, membersonly=True, passwordprotectedroom=True, roomsecret="sesame", persistentroom=True)
    alice = await Client("alice", plugins=PLUGINS).come_online()
    bob = await Client("bob", plugins=PLUGINS).come_online()
    await is_refused("registration-required", alice.enter(room, "alice", password="sesame"))
    dora["xep_0045"].invite(JID(room), JID(bare("bob")), "come in")
    invitation = await bob.hear("groupchat_invite")
    same((str(invitation["from"]), invitation["muc"]["invite"]["reason"]), (room, "come in"), "the invitation")
    await is_refused("not-authorized", bob.enter(room, "bob"))
    await is_refused("not-authorized", bob.enter(room, "bob", password="open"))
    await bob.enter(room, "bob", password="sesame")
    people = dora["xep_0045"]
    same({str(j) for j in await people.get_affiliation_list(JID(room), "member")}, {bare("bob")}, "the members")
    await people.set_affiliation(JID(room), "member", jid=JID(bare("alice")))
    await is_refused("conflict", alice.enter(room, "bob", password="sesame"))
    await alice.enter(room, "alice", password="sesame")
    await people.send_affiliation_list(JID(room), [(JID(bare("alice")), "admin"), (JID(bare("bob")), "none")])
    gone = await bob.hear("groupchat_presence", occupant(room, "bob", "unavailable"))
    same(gone["muc"]["status_codes"], {110, 321}, "the status codes of who is no member any more")
    up = await alice.hear("groupchat_presence", lambda p: occupant(room, "alice")(p) and p["muc"]["affiliation"] == "admin")
    same(up["muc"]["role"], "moderator", "the role of an admin")
    await people.destroy(JID(room))


async def room_is_moderated():
    """Voice, kicks and bans: each does what it says, and whom it is not for is refused."""
    room = "stage@" + ROOMS
    dora = await make(room, moderatedroom=True, whois="anyone")
    bob = await Client("bob", plugins=PLUGINS).come_online()
    own, _, _, _ = await bob.enter(room, "bob")
    same((own["muc"]["affiliation"], own["muc"]["role"]), ("none", "visitor"), "who comes into a moderated room")
    bob.say(room, "may I?")
    same((await bob.hear("message_error"))["error"]["condition"], "forbidden", "the error without voice")
    await is_refused("forbidden", bob["xep_0045"].set_role(JID(room), "dora", "none"))
    await dora["xep_0045"].set_role(JID(room), "bob", "participant", reason="of course")
    await bob.hear("groupchat_presence", lambda p: occupant(room, "bob")(p) and p["muc"]["role"] == "participant")
    bob.say(room, "thank you")
    said = await dora.hear("groupchat_message")
    same((str(said["from"]), said["body"]), (room + "/bob", "thank you"), "what was said with voice")
    await dora["xep_0045"].set_role(JID(room), "bob", "none", reason="enough")
    kicked = await bob.hear("groupchat_presence", occupant(room, "bob", "unavailable"))
    same((kicked["muc"]["status_codes"], kicked["muc"]["item"]["reason"]), ({110, 307}, "enough"), "the kick")
    await bob.enter(room, "bob")
    await dora["xep_0045"].set_affiliation(JID(room), "outcast", jid=JID(bare("bob")), reason="for good")
    banned = await bob.hear("groupchat_presence", occupant(room, "bob", "unavailable"))
    same(banned["muc"]["status_codes"], {110, 301}, "the status codes of a ban")
    await is_refused("forbidden", bob.enter(room, "bob"))
    same({str(j) for j in await dora["xep_0045"].get_affiliation_list(JID(room), "outcast")}, {bare("bob")}, "the banned")
    await dora["xep_0045"].destroy(JID(room))


async def room_is_used():
    """Subject, a change of nick, private messages, a look whether one is still in, and the history."""
    room = "lounge@" + ROOMS
    dora = await make(room)
    alice = await Client("alice", plugins=PLUGINS).come_online()
    bob = await Client("bob", plugins=PLUGINS).come_online()
    own, _, _, _ = await bob.enter(room, "bob")
    identity = own.xml.find("{urn:xmpp:occupant-id:0}occupant-id").get("id")
    await alice.enter(room, "alice")
    dora["xep_0045"].set_subject(JID(room), "the weather")
    for client in (alice, bob):
        await client.hear("groupchat_subject", lambda m: m["subject"] == "the weather" and str(m["from"]) == room + "/dora")
    bob["xep_0045"].set_subject(JID(room), "football")
    same((await bob.hear("message_error"))["error"]["condition"], "forbidden", "the error for who may not change it")

    bob.send_presence(pto=room + "/bobby")
    left = await alice.hear("groupchat_presence", occupant(room, "bob", "unavailable"))
    same((left["muc"]["status_codes"], left["muc"]["item"]["nick"]), ({303}, "bobby"), "the change of nick")
    back = await alice.hear("groupchat_presence", occupant(room, "bobby", "available"))
    same(back.xml.find("{urn:xmpp:occupant-id:0}occupant-id").get("id"), identity, "the occupant id under another nick")

    alice.chat(room + "/bobby", "between us")
    whisper = await bob.hear("message")
    same((str(whisper["from"]), whisper["body"]), (room + "/alice", "between us"), "the private message")
    for body in ("one", "two"):
        bob.say(room, body)
    await dora.hear("groupchat_message", lambda m: m["body"] == "two")
    same([data["body"] for event, data in dora.passed if event == "message"], ["one", "two"], "what others heard")

    await bob["xep_0199"].send_ping(JID(room + "/bobby"), timeout=PATIENCE)
    bob["xep_0045"].leave_muc(room, "bobby")
    await alice.hear("groupchat_presence", occupant(room, "bobby", "unavailable"))
    await is_refused("not-acceptable", bob["xep_0199"].send_ping(JID(room + "/bobby"), timeout=PATIENCE))
    same([m for m in await dora.history(room) if m[1]], [(room + "/bobby", "one"), (room + "/bobby", "two")], "the archive of the room")
    _, subject, _, history = await bob.enter(room, "bob", maxstanzas=1)
    same((subject["subject"], [m["body"] for m in history]), ("the weather", ["two"]), "coming back")
    await dora["xep_0045"].destroy(JID(room))


CHECKS = [room_is_made, room_is_locked, room_is_moderated, room_is_used]
