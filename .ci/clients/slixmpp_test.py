#!/usr/bin/python3
"""Debian's slixmpp against a running confab: slixmpp_test.py [-v] [CHECK...]

Run by ./run, which sets the environment and has made the users alice, bob, carol and dora, an
administrator, with the passwords pw-alice and so on. Each check is a coroutine; its docstring is
what it shows.
"""
import asyncio
import logging
import sys
import time
import traceback

sys.dont_write_bytecode = True

import slixmpp_account
import slixmpp_admin
import slixmpp_aliases
import slixmpp_component
import slixmpp_rooms
from slixmpp_client import PATIENCE, ROOMS, Client, Failure, bare, check, restart


async def login_over_starttls():
    """Login over STARTTLS, with the -PLUS mechanisms on offer, with which slixmpp 1.8 cannot deal."""
    alice = Client("alice")
    await alice.log_in()
    print("  %d mechanisms refused, in with %s" % (alice.refusals, alice["feature_mechanisms"].mech.name))


async def login_over_direct_tls():
    """Login over direct TLS."""
    await Client("alice").log_in("tls")


async def wrong_password():
    """A wrong password is refused, whatever mechanism is tried."""
    alice = Client("alice", password="wrong")
    alice.dial()
    await alice.hear("disconnected")
    check(alice.refusals > 0, "no attempt was refused")
    check(not alice.authenticated, "logged in with a wrong password")


async def domain_roster():
    """The colleagues are in the roster."""
    alice = await Client("alice").log_in()
    await alice.get_roster()  # without presence, for which slixmpp makes entries of its own
    for name in ("bob", "carol"):
        check(bare(name) in alice.client_roster, "%s is not in the roster" % name)
        check(alice.client_roster[bare(name)]["subscription"] == "both", "%s is not subscribed" % name)
    check(bare("alice") not in alice.client_roster, "alice is in her own roster")


async def presence():
    """Away and dnd are seen by a colleague, and so is leaving."""
    alice = await Client("alice").come_online()
    bob = await Client("bob").come_online()
    for show in ("away", "dnd", ""):
        bob.send_presence(pshow=show)
        await alice.hear("changed_status", lambda p: p["from"] == bob.boundjid and p["type"] == (show or "available"))
    bob.disconnect()
    await alice.hear("changed_status", lambda p: p["from"] == bob.boundjid and p["type"] == "unavailable")


async def chat():
    """Chat goes both ways."""
    alice = await Client("alice").come_online()
    bob = await Client("bob").come_online("tls")
    alice.chat(bare("bob"), "hello bob")
    got = await bob.has_message("hello bob")
    check(got["from"] == alice.boundjid, "the message is from %s" % got["from"])
    bob.chat(got["from"], "hello alice")
    await alice.has_message("hello alice")


async def carbons():
    """A second device sees what the first one sends and receives."""
    first = await Client("alice", "first").come_online()
    second = await Client("alice", "second").come_online()
    bob = await Client("bob").come_online()
    await second["xep_0280"].enable()
    first.chat(bob.boundjid, "from the first")
    await bob.has_message("from the first")
    copy = await second.hear("carbon_sent")
    check(copy["carbon_sent"]["body"] == "from the first", "another message was copied")
    bob.chat(first.boundjid, "to the first")
    await first.has_message("to the first")
    copy = await second.hear("carbon_received")
    check(copy["carbon_received"]["body"] == "to the first", "another message was copied")


async def resumption():
    """A connection that breaks is resumed: nothing is lost and nothing comes twice."""
    alice = Client("alice", "phone")
    await alice.log_in()
    await alice.get_roster()
    alice.send_presence()
    await alice.fence()
    check(alice["xep_0198"].sm_id, "stream management is not on")
    bob = await Client("bob").come_online()
    sent = ["before %d" % i for i in range(5)]
    for body in sent:
        bob.chat(alice.boundjid, body)
    await alice.has_message(sent[-1])

    alice.transport.abort()
    await alice.hear("disconnected")
    missed = ["meanwhile %d" % i for i in range(20)]
    for body in missed:
        bob.chat(bare("alice"), body)
    await bob.fence()
    alice.dial()
    await alice.hear("session_resumed")
    bob.chat(alice.boundjid, "afterwards")
    got = []
    while not got or got[-1] != "afterwards":
        got.append((await alice.hear("message"))["body"])
    check(got == missed + ["afterwards"], "expected %d messages after resuming, got %s" % (len(missed) + 1, got))


async def server_restart():
    """A restart of the server ends no session: nothing is lost or comes twice, room and presence stay."""
    room = "restart@" + ROOMS
    dora = Client("dora", "desk", plugins=("xep_0045",))
    alice = Client("alice", "phone", plugins=("xep_0045",))
    bob = Client("bob", "desk")
    for client in (dora, alice, bob):
        await client.log_in()
        await client.get_roster()
    for client in (dora, alice, bob):
        client.send_presence(pshow="away" if client is alice else "")
        await client.fence()
        check(client["xep_0198"].sm_id, "stream management is not on")
    await dora.enter(room, "dora")
    await dora["xep_0045"].set_room_config(room, await dora["xep_0045"].get_room_config(room))
    await alice.enter(room, "alice")
    bob.chat(alice.boundjid, "before")
    await alice.has_message("before")
    for client in (dora, alice, bob):
        await client.fence()
        client.heard.clear()

    await restart()
    for client in (dora, bob):
        await client.hear("disconnected")
        client.dial()
        await client.hear("session_resumed")
    bob.chat(bare("alice"), "meanwhile")
    await bob.fence()
    dora.say(room, "is anybody here")
    await dora.fence()
    carol = await Client("carol", "desk").come_online()
    await carol.hear("changed_status", lambda p: p["from"] == alice.boundjid and p["type"] == "away")

    await alice.hear("disconnected")
    alice.dial()
    await alice.hear("session_resumed")
    bob.chat(alice.boundjid, "afterwards")
    got = []
    while not got or got[-1] != "afterwards":
        got.append((await alice.hear("message"))["body"])
    check(got == ["meanwhile", "is anybody here", "afterwards"], "after the restart came %s" % got)
    alice.say(room, "alice is")
    await dora.has_message("alice is")
    for client in (dora, alice, bob):
        seen = [(str(p["from"]), p["type"]) for event, p in client.heard + client.passed
                if event in ("changed_status", "groupchat_presence") and p["from"].bare != carol.boundjid.bare]
        check(not seen, "%s saw %s" % (client.boundjid, seen))


async def history():
    """The history is paged from both ends."""
    alice = await Client("alice").come_online()
    carol = await Client("carol").come_online()
    said = ["number %d" % i for i in range(25)]
    for body in said:
        alice.chat(bare("carol"), body)
    await carol.has_message(said[-1])
    for reverse in (False, True):
        got = []
        async for m in carol["xep_0313"].iterate(with_jid=bare("alice"), reverse=reverse, rsm={"max": 10}):
            got.append(m["mam_result"]["forwarded"]["message"]["body"])
        want = said[::-1] if reverse else said
        check(got == want, "%s: got %d messages: %s" % ("backwards" if reverse else "forwards", len(got), got))


CHECKS = [login_over_starttls, login_over_direct_tls, wrong_password, domain_roster, presence, chat,
          carbons, resumption, server_restart, history, *slixmpp_aliases.CHECKS, *slixmpp_account.CHECKS, *slixmpp_rooms.CHECKS,
          *slixmpp_component.CHECKS, *slixmpp_admin.CHECKS]


async def close_all():
    """Ends all sessions: none is to wait for its client while the next check runs."""
    for client in Client.open:
        try:
            await client.leave()
        except Failure as err:
            print("  %s" % err, flush=True)
            client.abort()
    Client.open.clear()


async def main():
    failed = []
    chosen = [a for a in sys.argv[1:] if a != "-v"]
    for each in CHECKS:
        if chosen and each.__name__ not in chosen:
            continue
        began = time.monotonic()
        try:
            await asyncio.wait_for(each(), 3 * PATIENCE)
            print("ok    %-24s %4.1f s  %s" % (each.__name__, time.monotonic() - began, each.__doc__), flush=True)
        except Exception as err:  # every check is to run, whatever became of the others
            failed.append(each.__name__)
            if not isinstance(err, Failure):
                traceback.print_exc()
            print("FAIL  %-24s %4.1f s  %s" % (each.__name__, time.monotonic() - began, err), flush=True)
        await close_all()
    return failed


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG if "-v" in sys.argv else logging.CRITICAL)
    failed = asyncio.get_event_loop().run_until_complete(main())
    if failed:
        sys.exit("failed: " + ", ".join(failed))
