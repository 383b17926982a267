"""Aliases that come while the server runs: contacts that reach their members, and rooms."""
from slixmpp_client import ROOMS, Client, bare, check, confab, hears_only, is_refused, same

ADDRESSES = "{http://jabber.org/protocol/address}address"


def writer(message):
    """Returns who wrote, as the server vouches for it (XEP-0033)."""
    return [a.get("jid") for a in message.xml.iter(ADDRESSES) if a.get("type") == "ofrom"]


async def alias_comes_and_goes():
    """A new alias is a contact in open clients, online when a member is, and gone when it is deleted."""
    def item(iq):
        return next((i for jid, i in iq["roster"]["items"].items() if str(jid) == bare("press")), None)

    alice = await Client("alice").come_online()
    await alice.fence()
    await confab("alias", "create", "press", "bob", "carol", "--name", "The press office")
    pushed = item(await alice.hear("roster_update", item))
    same((pushed["name"], pushed["subscription"], list(pushed["groups"])), ("The press office", "both", ["Groups"]), "the contact")
    bob = await Client("bob").come_online()
    seen = await alice.hear("changed_status", lambda p: p["from"].bare == bare("press"))
    same(seen["type"], "available", "the presence of the alias")
    check(bare("press") in bob.client_roster, "a new login does not have it in the roster")
    await bob.leave()
    await alice.hear("changed_status", lambda p: p["from"].bare == bare("press") and p["type"] == "unavailable")
    await confab("alias", "delete", "press", "--yes")
    pushed = item(await alice.hear("roster_update", item))
    same(pushed["subscription"], "remove", "the contact after its end")


async def alias_reaches_members():
    """What is sent to an alias reaches each device of each online member once, with the writer's name, and nobody else."""
    await confab("alias", "create", "sales", "bob", "carol", "--name", "Sales")
    alice = await Client("alice").come_online()
    other = await Client("alice", "other").come_online()
    dora = await Client("dora").come_online()
    members = [await Client("bob", "desk").come_online(), await Client("bob", "phone").come_online(),
               await Client("carol").come_online()]
    await other["xep_0280"].enable()
    for body in ("how much?", "and when?"):
        alice.chat(bare("sales"), body)
    for member in members:
        got = await hears_only(member, alice, ["Alice Archer (guest): how much?", "Alice Archer (guest): and when?"])
        for message in got:
            same(str(message["from"]), bare("sales") + "/alice", "the sender")
            same(writer(message), [bare("alice")], "the address of the writer")
    await hears_only(dora, alice, [])
    copy = await other.hear("carbon_sent")
    same(copy["carbon_sent"]["body"], "how much?", "the copy on the sender's other device")
    await hears_only(other, dora, [])


async def alias_guest_is_answered():
    """A member's answer comes back to the guest in the same conversation, and the other members see it."""
    await confab("alias", "create", "support", "bob", "carol")
    alice = await Client("alice").come_online()
    bob = await Client("bob").come_online()
    carol = await Client("carol").come_online()
    dora = await Client("dora").come_online()
    alice.chat(bare("support"), "it is broken")
    question = await bob.has_message("Alice Archer (guest): it is broken")
    bob.chat(question["from"], "which one?")
    answer, = await hears_only(alice, bob, ["Bob Baker: which one?"])
    same(str(answer["from"]), bare("support") + "/bob", "the sender of the answer")
    same(writer(answer), [bare("bob")], "the address of the writer")
    await hears_only(carol, bob, ["Alice Archer (guest): it is broken", "Bob Baker: which one?"])
    await hears_only(dora, bob, [])
    # And back again, to whom the client holds for the other end.
    alice.chat(answer["from"], "the red one")
    for member in (bob, carol):
        await hears_only(member, alice, ["Alice Archer (guest): the red one"])
    alias = bare("support")
    same(await alice.history(talker=alias), [(str(alice.boundjid), "it is broken"), (alias + "/bob", "Bob Baker: which one?"),
                                             (str(alice.boundjid), "the red one")], "the guest's history")


async def alias_member_was_away():
    """A member who was away finds the conversation in the history, and what was read there does not come again."""
    await confab("alias", "create", "billing", "bob", "carol")
    alice = await Client("alice").come_online()
    bob = await Client("bob").come_online()
    alice.chat(bare("billing"), "too much")
    await bob.has_message("Alice Archer (guest): too much")
    bob.chat(bare("billing"), "let me see")
    await alice.has_message("Bob Baker: let me see")
    carol = await Client("carol").log_in()
    want = [(bare("billing") + "/alice", "Alice Archer (guest): too much"), (bare("billing") + "/bob", "Bob Baker: let me see")]
    same((await carol.history())[-2:], want, "the end of the history of the one who was away")
    same(await carol.history(talker=bare("billing")), want, "the conversation in it")
    carol.send_presence()
    await carol.fence()
    await hears_only(carol, alice, [])
    # Who does not read the history gets it when it is online again.
    await bob.leave()
    alice.chat(bare("billing"), "well?")
    await alice.fence()
    bob = await Client("bob").come_online()
    late = await bob.has_message("Alice Archer (guest): well?")
    check(late.xml.find("{urn:xmpp:delay}delay") is not None, "a late message does not say so")
    await hears_only(bob, alice, [])


async def alias_members_change():
    """Who joins an alias, or leaves it, is reached, or not, from then on."""
    await confab("alias", "create", "night", "bob")
    alice = await Client("alice").come_online()
    bob = await Client("bob").come_online()
    carol = await Client("carol").come_online()
    alice.chat(bare("night"), "one")
    await hears_only(bob, alice, ["Alice Archer (guest): one"])
    await hears_only(carol, alice, [])
    await confab("alias", "add", "night", "carol")
    await confab("alias", "remove", "night", "bob")
    alice.chat(bare("night"), "two")
    await hears_only(bob, alice, [])
    await hears_only(carol, alice, ["Alice Archer (guest): two"])


async def alias_room():
    """The members of an alias room are invited, enter it, hear one another once, and read its history by both ways."""
    rooms = ("xep_0045", "xep_0249", "xep_0421")
    alice = await Client("alice", plugins=rooms).come_online()
    await alice.fence()
    await confab("alias", "create", "board", "alice", "bob", "--room", "--name", "The board", "--moderator", "alice")
    board = "board@" + ROOMS
    invitation = await alice.hear("groupchat_direct_invite")
    same(str(invitation["groupchat_invite"]["jid"]), board, "the room of the invitation")
    listed = await alice["xep_0030"].get_items(ROOMS)
    check((board, None, "The board") in {(str(j), n, t) for j, n, t in listed["disco_items"]["items"]}, "the room is not listed")
    same((await alice["xep_0030"].get_info(board))["disco_info"]["features"] & {"muc_membersonly", "urn:xmpp:mam:2"},
         {"muc_membersonly", "urn:xmpp:mam:2"}, "what the room says of itself")

    own, _, _, history = await alice.enter(board, "somebody else")
    same((own["from"].resource, own["muc"]["affiliation"], own["muc"]["role"], history), ("alice", "admin", "moderator", []), "entering")
    same(own["muc"]["status_codes"] & {110, 210}, {110, 210}, "the status codes of the own presence")
    bob = await Client("bob", plugins=rooms).come_online()
    own, _, occupants, _ = await bob.enter(board, "bob")
    same((own["muc"]["affiliation"], own["muc"]["role"]), ("member", "participant"), "entering")
    same({p["from"].resource for p in occupants}, {"alice", "bob"}, "the occupants")
    for body in ("first", "second"):
        alice.say(board, body)
    for client in (alice, bob):
        for body in ("first", "second"):
            m = await client.hear("groupchat_message")
            same((str(m["from"]), m["body"]), (board + "/alice", body), "what was said")
            check(m.xml.find("{urn:xmpp:occupant-id:0}occupant-id") is not None, "no occupant id")

    bob["xep_0045"].leave_muc(board, "bob")
    await bob.fence()
    alice.say(board, "third")
    await alice.hear("groupchat_message", lambda m: m["body"] == "third")
    want = [(board + "/alice", body) for body in ("first", "second", "third")]
    same(await bob.history(board), want, "the archive of the room")
    _, _, _, history = await bob.enter(board, "bob", maxstanzas=2)
    same([(str(m["from"]), m["body"]) for m in history], want[1:], "the history on entering")

    carol = await Client("carol", plugins=rooms).come_online()
    await is_refused("registration-required", carol.enter(board, "carol"))
    await is_refused("forbidden", carol["xep_0313"].retrieve(jid=board))


async def alias_becomes_room():
    """An alias that is made a room, and a member who is taken out of it: open clients see both."""
    rooms = ("xep_0045", "xep_0249")
    await confab("alias", "create", "choir", "alice", "bob")
    alice = await Client("alice", plugins=rooms).come_online()
    bob = await Client("bob", plugins=rooms).come_online()
    check(bare("choir") in alice.client_roster, "the alias is no contact")
    await confab("alias", "convert", "choir", "--to", "room")
    choir = "choir@" + ROOMS
    await bob.hear("groupchat_direct_invite", lambda m: str(m["groupchat_invite"]["jid"]) == choir)
    await alice.enter(choir, "alice")
    await bob.enter(choir, "bob")
    await confab("alias", "remove", "choir", "bob")
    gone = await bob.hear("groupchat_presence", lambda p: p["type"] == "unavailable" and p["from"].resource == "bob")
    same(gone["muc"]["status_codes"], {110, 321}, "the status codes of who is no member any more")
    await is_refused("registration-required", bob.enter(choir, "bob"))


CHECKS = [alias_comes_and_goes, alias_reaches_members, alias_guest_is_answered, alias_member_was_away,
          alias_members_change, alias_room, alias_becomes_room]
