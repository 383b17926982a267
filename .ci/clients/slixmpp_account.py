"""What clients keep on their accounts, and tell one another about themselves."""
import asyncio
import hashlib
import json
import os
import subprocess

from slixmpp.plugins.xep_0048.stanza import Bookmarks
from slixmpp.plugins.xep_0084.stanza import MetaData
from slixmpp.xmlstream import ET, ElementBase

from slixmpp_client import DOMAIN, PATIENCE, ROOMS, Client, bare, check, hears_only, is_refused, same

PEP = ("xep_0163", "xep_0060")
# A picture of one pixel: the server looks at its first bytes to say what it is.
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000"
                    "0500012d0b5d8c0000000049454e44ae426082")
NO_PNG = b"\xff\xd8\xff\xe0 so much for a JPEG"
PHOTO = "{vcard-temp:x:update}x/{vcard-temp:x:update}photo"


async def has_features(client, jid, wanted):
    """Shows that the server announces what the check is about."""
    got = (await client["xep_0030"].get_info(jid))["disco_info"]["features"]
    check(wanted <= got, "%s does not announce %s" % (jid, wanted - got))


async def blocking():
    """Who is blocked sees nothing and reaches nobody; all devices hear of it; it can be undone."""
    alice = await Client("alice", plugins=["xep_0191"]).come_online()
    other = await Client("alice", "other", plugins=["xep_0191"]).come_online()
    await has_features(alice, DOMAIN, {"urn:xmpp:blocking"})
    await other["xep_0191"].get_blocked()  # only who asked is told of changes
    same((await alice["xep_0191"].get_blocked())["blocklist"]["items"], set(), "the list at first")
    bob = await Client("bob").come_online()
    await bob.hear("changed_status", lambda p: p["from"] == alice.boundjid)
    await alice["xep_0191"].block(bare("bob"))
    await other.hear("blocked", lambda iq: {str(j) for j in iq["block"]["items"]} == {bare("bob")})
    await bob.hear("changed_status", lambda p: p["from"] == alice.boundjid and p["type"] == "unavailable")
    same({str(j) for j in (await alice["xep_0191"].get_blocked())["blocklist"]["items"]}, {bare("bob")}, "the list")
    bob.chat(bare("alice"), "can you hear me?")
    same((await bob.hear("message_error"))["error"]["condition"], "service-unavailable", "the error for the blocked")
    alice.chat(bare("bob"), "no")
    same((await alice.hear("message_error"))["error"]["condition"], "not-acceptable", "the error for who blocks")
    carol = await Client("carol").come_online()
    await hears_only(alice, carol, [])
    await hears_only(bob, carol, [])

    await alice["xep_0191"].unblock(bare("bob"))
    await other.hear("unblocked", lambda iq: {str(j) for j in iq["unblock"]["items"]} == {bare("bob")})
    await bob.hear("changed_status", lambda p: p["from"] == alice.boundjid and p["type"] == "available")
    bob.chat(bare("alice"), "and now?")
    await hears_only(alice, bob, ["and now?"])


class Prefs(ElementBase):
    name = "exodus"
    namespace = "exodus:prefs"
    plugin_attrib = "exodus"
    interfaces = {"defaultnick"}
    sub_interfaces = interfaces


async def private_xml():
    """Private XML is kept for all devices of its owner, and nobody else gets at it."""
    alice = await Client("alice", plugins=["xep_0049"]).come_online()
    other = await Client("alice", "other", plugins=["xep_0049"]).come_online()
    for client in (alice, other):
        client["xep_0049"].register(Prefs)
    prefs = Prefs()
    prefs["defaultnick"] = "Hamlet & <Ophelia>"
    await alice["xep_0049"].store(prefs)
    same((await other["xep_0049"].retrieve("exodus"))["private"]["exodus"]["defaultnick"], "Hamlet & <Ophelia>", "what was kept")
    bob = await Client("bob", plugins=["xep_0049"]).come_online()
    bob["xep_0049"].register(Prefs)
    same((await bob["xep_0049"].retrieve("exodus"))["private"]["exodus"]["defaultnick"], "", "what somebody else has")
    iq = bob.make_iq_get(ito=bare("alice"))
    iq["private"].enable("exodus")
    await is_refused("forbidden", iq.send())


async def vcard():
    """A vCard is set by its owner, read by colleagues, and changed by nobody else."""
    alice = await Client("alice", plugins=["xep_0054"]).come_online()
    bob = await Client("bob", plugins=["xep_0054"]).come_online()
    await has_features(alice, DOMAIN, {"vcard-temp"})
    card = alice["xep_0054"].make_vcard()
    card["FN"] = "Alice Archer"
    card["NICKNAME"] = ["Al"]
    card["EMAIL"]["USERID"] = bare("alice")
    await alice["xep_0054"].publish_vcard(card)
    got = (await bob["xep_0054"].get_vcard(bare("alice")))["vcard_temp"]
    same((got["FN"], got["NICKNAME"], got["EMAIL"]["USERID"]), ("Alice Archer", ["Al"], bare("alice")), "the vCard")
    iq = bob.make_iq_set(ito=bare("alice"))
    iq["vcard_temp"]["FN"] = "Mallory"
    await is_refused("forbidden", iq.send())
    same((await bob["xep_0054"].get_vcard(bare("alice")))["vcard_temp"]["FN"], "Alice Archer", "the vCard afterwards")


def avatar_of(id):
    return lambda m: [i["avatar_metadata"]["items"][0]["id"] for i in m["pubsub_event"]["items"]
                      if m["pubsub_event"]["items"]["node"] == "urn:xmpp:avatar:metadata" and i["avatar_metadata"]["items"]] == [id]


async def avatar_of_today():
    """A published avatar reaches colleagues as an event, as the hash in presence and as the photo of the vCard."""
    alice = await Client("alice", plugins=[*PEP, "xep_0084"]).come_online()
    bob = await Client("bob", plugins=[*PEP, "xep_0084", "xep_0054", "xep_0153"]).come_online()
    id = hashlib.sha1(PNG).hexdigest()
    await alice["xep_0084"].publish_avatar(PNG)
    await alice["xep_0084"].publish_avatar_metadata({"id": id, "type": "image/png", "bytes": len(PNG)})
    await bob.hear("vcard_avatar_update", lambda p: p["from"] == alice.boundjid and p["vcard_temp_update"]["photo"] == id)
    photo = (await bob["xep_0054"].get_vcard(bare("alice")))["vcard_temp"]["PHOTO"]
    same((photo["TYPE"], photo["BINVAL"]), ("image/png", PNG), "the photo of the vCard")
    # Who comes later is told what there is.
    carol = await Client("carol", plugins=[*PEP, "xep_0084"]).come_online()
    event = await carol.hear("pubsub_publish", avatar_of(id))
    same(str(event["from"]), bare("alice"), "whose event it is")
    item = (await carol["xep_0084"].retrieve_avatar(bare("alice"), id))["pubsub"]["items"]["item"]
    same(item["avatar_data"]["value"], PNG, "the avatar")
    await alice["xep_0163"].publish(MetaData(), id="none")
    await bob.hear("presence_available", lambda p: p["from"] == alice.boundjid and p.xml.find(PHOTO) is not None and not p.xml.find(PHOTO).text)


async def avatar_of_old():
    """The photo of a vCard is an avatar: its hash is in presence, and those of today hear of it."""
    alice = await Client("alice", plugins=["xep_0054", "xep_0153"]).come_online()
    bob = await Client("bob", plugins=[*PEP, "xep_0084", "xep_0054", "xep_0153"]).come_online()
    id = hashlib.sha1(NO_PNG).hexdigest()
    await alice["xep_0153"].set_avatar(avatar=NO_PNG, mtype="image/jpeg")
    await bob.hear("vcard_avatar_update", lambda p: p["from"] == alice.boundjid and p["vcard_temp_update"]["photo"] == id)
    carol = await Client("carol", plugins=[*PEP, "xep_0084"]).come_online()
    await carol.hear("pubsub_publish", avatar_of(id))
    item = (await carol["xep_0084"].retrieve_avatar(bare("alice"), id))["pubsub"]["items"]["item"]
    same(item["avatar_data"]["value"], NO_PNG, "the avatar")


BOOKMARKS = "urn:xmpp:bookmarks:1"


async def bookmarks():
    """A room that is bookmarked in one of the three ways is bookmarked in all of them."""
    new = await Client("alice", "new", plugins=["xep_0048", "xep_0060"]).come_online()
    old = await Client("alice", "old", plugins=["xep_0048"]).come_online()

    def rooms(storage):
        return {(str(c["jid"]), c["nick"], c["autojoin"]) for c in storage["conferences"]}

    marks = Bookmarks()
    marks.add_conference("garden@" + ROOMS, "al", "The garden", autojoin=True)
    await old["xep_0048"].set_bookmarks(marks, method="xep_0049")
    want = {("garden@" + ROOMS, "al", True)}
    items = (await new["xep_0060"].get_items(None, BOOKMARKS))["pubsub"]["items"]
    same([i["id"] for i in items], ["garden@" + ROOMS], "the items of XEP-0402")
    payload = next(iter(items)).xml[0]
    same((payload.get("name"), payload.get("autojoin"), payload.findtext("{%s}nick" % BOOKMARKS)), ("The garden", "true", "al"), "the item")
    got = await new["xep_0048"].get_bookmarks(method="xep_0223")
    same(rooms(got["pubsub"]["items"]["item"]["bookmarks"]), want, "the list of XEP-0048")

    conference = ET.fromstring("<conference xmlns='%s' name='The park' autojoin='false'><nick>ali</nick></conference>" % BOOKMARKS)
    await new["xep_0060"].publish(None, BOOKMARKS, id="park@" + ROOMS, payload=conference)
    want.add(("park@" + ROOMS, "ali", False))
    same(rooms((await old["xep_0048"].get_bookmarks(method="xep_0049"))["private"]["bookmarks"]), want, "the private list")
    await new["xep_0060"].retract(None, BOOKMARKS, "garden@" + ROOMS)
    want.remove(("garden@" + ROOMS, "al", True))
    same(rooms((await old["xep_0048"].get_bookmarks(method="xep_0049"))["private"]["bookmarks"]), want, "the private list after one is gone")
    bob = await Client("bob", plugins=["xep_0060"]).come_online()
    await is_refused("not-allowed", bob["xep_0060"].get_items(bare("alice"), BOOKMARKS))
    await new["xep_0060"].retract(None, BOOKMARKS, "park@" + ROOMS)


async def personal_events():
    """What is published reaches the colleagues who say that they want it, and only them; the last item who comes later."""
    def nick(wanted):
        return lambda m: m["pubsub_event"]["items"]["node"] == "http://jabber.org/protocol/nick" and \
            [i["user_nick"] for i in m["pubsub_event"]["items"]] and \
            next(iter(m["pubsub_event"]["items"])).xml[0].text == wanted

    alice = await Client("alice", plugins=[*PEP, "xep_0172"]).come_online()
    bob = await Client("bob", plugins=[*PEP, "xep_0172"]).come_online()
    deaf = await Client("carol", plugins=["xep_0060"]).come_online()
    await has_features(alice, bare("alice"), {"http://jabber.org/protocol/pubsub#publish"})
    identities = (await alice["xep_0030"].get_info(bare("alice")))["disco_info"]["identities"]
    check(("pubsub", "pep") in {i[:2] for i in identities}, "the account is no PEP service")
    for name in ("Al", "Ali"):  # the first may come because bob is new, the second only because it is news
        await alice["xep_0172"].publish_nick(name)
        event = await bob.hear("pubsub_publish", nick(name))
        same(str(event["from"]), bare("alice"), "whose event it is")
    await deaf.fence()
    check(not [n for n, _ in deaf.heard if n.startswith("pubsub")], "who did not ask has heard of it")
    dora = await Client("dora", plugins=[*PEP, "xep_0172"]).come_online()
    await dora.hear("pubsub_publish", nick("Ali"))
    await alice["xep_0060"].delete_node(None, "http://jabber.org/protocol/nick")
    await is_refused("item-not-found", dora["xep_0060"].get_items(bare("alice"), "http://jabber.org/protocol/nick"))


async def nodes():
    """A node has several items, is closed to those whom its owner does not let in, and is emptied and deleted."""
    node = "urn:example:notes"
    alice = await Client("alice", plugins=["xep_0060"]).come_online()
    bob = await Client("bob", plugins=["xep_0060"]).come_online()
    options = alice["xep_0004"].make_form("submit")
    options.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#publish-options")
    options.add_field(var="pubsub#access_model", value="whitelist")
    options.add_field(var="pubsub#persist_items", value="true")
    options.add_field(var="pubsub#max_items", value="10")

    def note(text):
        payload = ET.Element("{urn:example:notes}note")
        payload.text = text
        return payload

    own = alice["xep_0060"]
    for id in ("one", "two", "three"):
        await own.publish(None, node, id=id, payload=note(id), options=options)
    same({i["id"] for i in (await own.get_items(None, node))["pubsub"]["items"]}, {"one", "two", "three"}, "the items")
    same((await own.get_item(None, node, "two"))["pubsub"]["items"]["item"]["payload"].text, "two", "one of them")
    await is_refused("not-allowed", bob["xep_0060"].get_items(bare("alice"), node))
    await is_refused("forbidden", bob["xep_0060"].publish(bare("alice"), node, id="x", payload=note("x")))
    config = (await own.get_node_config(None, node))["pubsub_owner"]["configure"]["form"]
    same(config.get_values()["pubsub#access_model"], "whitelist", "the access model of the node")
    config = alice["xep_0004"].make_form("submit")
    config.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#node_config")
    config.add_field(var="pubsub#access_model", value="open")
    await own.set_node_config(None, node, config)
    same(len((await bob["xep_0060"].get_items(bare("alice"), node))["pubsub"]["items"]), 3, "what others see once it is open")
    await is_refused("conflict", own.publish(None, node, id="four", payload=note("four"), options=options))
    await own.retract(None, node, "two")
    same({i["id"] for i in (await own.get_items(None, node))["pubsub"]["items"]}, {"one", "three"}, "the items that are left")
    await own.purge(None, node)
    same(len((await own.get_items(None, node))["pubsub"]["items"]), 0, "the items of an empty node")
    await own.delete_node(None, node)
    await is_refused("item-not-found", own.get_items(None, node))


async def shared_nodes():
    """At the service of the domain people make nodes, let others subscribe and publish, and all hear of it."""
    service, node = "pubsub." + DOMAIN, "news"
    alice = await Client("alice", plugins=["xep_0060"]).come_online()
    bob = await Client("bob", plugins=["xep_0060"]).come_online()
    own, other = alice["xep_0060"], bob["xep_0060"]
    await has_features(alice, service, {"http://jabber.org/protocol/pubsub#" + f for f in ("create-nodes", "instant-nodes", "subscribe")})

    def note(text):
        payload = ET.Element("{urn:example:notes}note")
        payload.text = text
        return payload

    def of(id):
        return lambda m: [i["id"] for i in m["pubsub_event"]["items"]] == [id]

    config = alice["xep_0004"].make_form("submit")
    config.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#node_config")
    config.add_field(var="pubsub#access_model", value="authorize")
    config.add_field(var="pubsub#title", value="News")
    await own.create_node(service, node, config)
    await is_refused("conflict", other.create_node(service, node))
    same({i[1] for i in (await own.get_nodes(service))["disco_items"]["items"]}, {node}, "the nodes")
    # An owner is asked, and lets him in.
    got = (await other.subscribe(service, node))["pubsub"]["subscription"]["subscription"]
    same(got, "pending", "the subscription before it is granted")
    ask = await alice.hear("message_xform")
    answer = alice.make_message(mto=service)
    answer["id"] = ask["id"]
    answer["form"]["type"] = "submit"
    for var, value in ask["form"].get_values().items():
        answer["form"].add_field(var=var, value="true" if var == "pubsub#allow" else value)
    answer.send()
    await bob.hear("pubsub_subscription", lambda m: m["pubsub_event"]["subscription"]["subscription"] == "subscribed")
    await own.publish(service, node, id="one", payload=note("one"))
    event = await bob.hear("pubsub_publish", of("one"))
    same(str(event["from"]), service, "whose event it is")
    # Others publish when they may.
    await is_refused("forbidden", other.publish(service, node, id="two", payload=note("two")))
    await own.modify_affiliations(service, node, [(bare("bob"), "publisher")])
    await other.publish(service, node, id="two", payload=note("two"))
    await bob.hear("pubsub_publish", of("two"))
    same({i["id"] for i in (await own.get_items(service, node))["pubsub"]["items"]}, {"one", "two"}, "the items")
    subscriptions = (await own.get_node_subscriptions(service, node))["pubsub_owner"]["subscriptions"]
    same([str(s["jid"]) for s in subscriptions], [bare("bob")], "who has subscribed")
    await own.retract(service, node, "two", notify=True)
    await bob.hear("pubsub_retract")
    await other.unsubscribe(service, node)
    await own.delete_node(service, node)
    await is_refused("item-not-found", other.get_items(service, node))
    instant = (await other.create_node(service, None))["pubsub"]["create"]["node"]
    await other.delete_node(service, instant)


async def client_state():
    """While nobody looks, presence waits: only the last one comes, before the next message."""
    alice = Client("alice", plugins=["xep_0352"])
    offered = asyncio.Event()
    alice.add_event_handler("csi_enabled", lambda _: offered.set())
    await alice.come_online()
    await asyncio.wait_for(offered.wait(), PATIENCE)
    bob = await Client("bob").come_online()
    await alice.hear("changed_status", lambda p: p["from"] == bob.boundjid)
    alice["xep_0352"].send_inactive()
    await alice.fence()
    for show in ("away", "xa", "dnd"):
        bob.send_presence(pshow=show)
    bob.chat(alice.boundjid, "wake up")
    await alice.has_presence_then(bob, ["dnd"], "wake up")
    alice["xep_0352"].send_active()
    await alice.fence()
    for show in ("away", "xa", "dnd"):
        bob.send_presence(pshow=show)
    bob.chat(alice.boundjid, "welcome back")
    await alice.has_presence_then(bob, ["away", "xa", "dnd"], "welcome back")


async def last_activity():
    """Since when a colleague is away, with what was said on leaving, and since when the server is up."""
    alice = await Client("alice", plugins=["xep_0012"]).come_online()
    bob = await Client("bob").come_online()
    await alice.hear("changed_status", lambda p: p["from"] == bob.boundjid)

    async def ask(jid):
        got = (await alice["xep_0012"].get_last_activity(jid))["last_activity"]
        return int(got["seconds"]), got["status"] or ""

    check(0 <= (await ask(DOMAIN))[0] < 3600, "the server is up for ever")
    same(await ask(bare("bob")), (0, ""), "the activity of who is there")
    bob.send_presence(ptype="unavailable", pstatus="gone to bed")
    await alice.hear("changed_status", lambda p: p["from"] == bob.boundjid and p["type"] == "unavailable")
    await bob.leave()
    seconds, status = await ask(bare("bob"))
    check(seconds < 60 and status == "gone to bed", "away for %d s: %s" % (seconds, status))


async def change_of_password():
    """A user changes the password: the new one counts from then on, and the old one does not."""
    carol = await Client("carol", plugins=["xep_0077"]).come_online()
    await carol["xep_0077"].change_password("new secret", jid=DOMAIN)
    await carol.leave()
    old = Client("carol")
    old.dial()
    await old.hear("disconnected")
    check(not old.authenticated, "logged in with the old password")
    carol = await Client("carol", password="new secret", plugins=["xep_0077"]).come_online()
    await carol["xep_0077"].change_password("pw-carol", jid=DOMAIN)
    await is_refused("not-allowed", carol["xep_0077"].cancel_registration(jid=DOMAIN))


async def directory_search():
    """People are found by a form, for "chat with…" on domains with too many people for a contact list."""
    alice = await Client("alice", plugins=["xep_0055"]).come_online()
    await has_features(alice, "search." + DOMAIN, {"jabber:iq:search"})
    form = await alice.make_iq_get(queryxmlns="jabber:iq:search", ito="search." + DOMAIN).send()
    check({"first", "last", "nick"} <= set(form["search"]["form"].get_fields()), "the form asks for something else")
    ask = alice["xep_0055"].make_search_iq(ito="search." + DOMAIN)
    ask["search"]["form"].add_field("last", value="bak*")
    found = (await ask.send())["search"]["form"].get_items()
    same([dict(row)["jid"] for row in found], [bare("bob")], "who was found")


async def invited():
    """Somebody who was invited makes the account with a token, chooses the password and is in."""
    made = subprocess.run([os.environ["CONFAB"], "user", "invite", "erin", "--json"], check=True, capture_output=True)
    token = json.loads(made.stdout)["uri"].split("preauth=")[1]
    erin = Client("erin", password="chosen", plugins=["xep_0077"])

    async def register(_):
        proof = erin.make_iq_set(ito=DOMAIN)
        proof.append(ET.Element("{urn:xmpp:pars:0}preauth", token=token))
        await proof.send()
        account = erin.make_iq_set(ito=DOMAIN)
        account["register"]["username"], account["register"]["password"] = "erin", "chosen"
        await account.send()

    erin._always_send_everything = True  # slixmpp 1.8 holds other requests back before login, such as the token
    erin.add_event_handler("register", register)
    await erin.log_in()
    await erin.leave()
    subprocess.run([os.environ["CONFAB"], "user", "delete", "erin", "--yes"], check=True, capture_output=True)


CHECKS = [directory_search, invited, blocking, private_xml, vcard, avatar_of_today, avatar_of_old, bookmarks, personal_events, nodes,
          shared_nodes, client_state, last_activity, change_of_password]
