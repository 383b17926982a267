"""A slixmpp client that keeps what it hears, and what the checks have in common.

The environment is set by ./run: DOMAIN, STARTTLS_PORT, TLS_PORT, CA_FILE, and CONFAB, the program.
"""
import asyncio
import itertools
import os
import time

import slixmpp
import slixmpp.plugins.xep_0045.muc
from slixmpp.exceptions import XMPPError

DOMAIN = os.environ["DOMAIN"]
ROOMS = "conference." + DOMAIN
PORTS = {"starttls": int(os.environ["STARTTLS_PORT"]), "tls": int(os.environ["TLS_PORT"])}
PATIENCE = 60  # seconds; only failures take that long

# slixmpp 1.8 prints what it gets while it enters a room.
slixmpp.plugins.xep_0045.muc.print = lambda *args: None


class Failure(Exception):
    pass


class Client(slixmpp.ClientXMPP):
    """A client that keeps what it hears until somebody asks for it."""

    open = []  # those that are to be closed after a check
    events = ("session_start", "session_resumed", "failed_all_auth", "disconnected", "message", "message_error",
              "changed_status", "presence_available", "presence_error", "roster_update", "carbon_received", "carbon_sent", "sm_enabled",
              "blocked", "unblocked", "groupchat_message", "groupchat_direct_invite", "groupchat_invite",
              "groupchat_presence", "groupchat_subject", "pubsub_publish", "pubsub_retract", "pubsub_delete",
              "pubsub_purge", "pubsub_subscription", "message_xform", "vcard_avatar_update")

    def __init__(self, name, resource="", password=None, mechanism=None, plugins=()):
        super().__init__(bare(name) + ("/" + resource if resource else ""), password or "pw-" + name,
                         sasl_mech=mechanism)
        self.ca_certs = os.environ["CA_FILE"]
        self.heard = []
        self.passed = []  # what came before the event that was heard last
        self.news = asyncio.Event()
        self.refusals = 0
        for plugin in ("xep_0030", "xep_0198", "xep_0199", "xep_0280", "xep_0313", *plugins):
            self.register_plugin(plugin)
        for event in self.events:
            self.add_event_handler(event, lambda data, event=event: self.note(event, data))
        self.add_event_handler("failed_auth", self.refused)
        Client.open.append(self)

    def note(self, event, data):
        self.heard.append((event, data))
        self.news.set()

    def refused(self, _):
        self.refusals += 1

    async def hear(self, event, wanted=lambda data: True):
        """Returns the first event of that name that is wanted; what came before it is passed over."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for i, (name, data) in enumerate(self.heard):
                if name == event and wanted(data):
                    self.passed = self.heard[:i]
                    del self.heard[:i + 1]
                    return data
            self.news.clear()
            left = deadline - time.monotonic()
            try:
                await asyncio.wait_for(self.news.wait(), left)
            except asyncio.TimeoutError:
                raise Failure("%s heard no %s, but %s" % (self.boundjid, event, [n for n, _ in self.heard])) from None

    def dial(self, port="starttls"):
        self.connect(("127.0.0.1", PORTS[port]), use_ssl=port == "tls")

    async def log_in(self, port="starttls"):
        self.dial(port)
        await self.hear("session_start")
        return self

    async def come_online(self, port="starttls"):
        """Logs in and is available to everybody when it returns."""
        await self.log_in(port)
        await self.get_roster()
        self.send_presence()
        await self.fence()
        return self

    async def leave(self):
        """Ends the stream; returns when the server has ended it, too.

        What it has not acknowledged would come again, and slixmpp 1.8 does not by itself (XEP-0198 §4).
        """
        if self.is_connected():
            if self["xep_0198"].enabled_in:
                self["xep_0198"].send_ack()
            self.disconnect()
            await self.hear("disconnected")

    async def has_message(self, body):
        return await self.hear("message", lambda m: m["body"] == body)

    async def has_presence_then(self, talker, shows, body):
        """Shows that before a message exactly this presence of somebody came."""
        await self.has_message(body)
        got = [p["show"] for event, p in self.passed if event == "changed_status" and p["from"] == talker.boundjid]
        same(got, shows, "the presence before %r" % body)

    async def fence(self):
        """Returns when the server has worked off all that was sent."""
        await self["xep_0199"].send_ping(DOMAIN, timeout=PATIENCE)

    def chat(self, to, body):
        self.send_message(mto=to, mbody=body, mtype="chat")

    def say(self, room, body):
        self.send_message(mto=room, mbody=body, mtype="groupchat")

    async def enter(self, room, nick, **options):
        """Enters a room; returns the own presence, the subject, the occupants and the history."""
        return await self["xep_0045"].join_muc_wait(slixmpp.JID(room), nick, timeout=PATIENCE, **options)

    async def history(self, archive=None, talker=None):
        """Returns what an archive has: sender and body of each message."""
        got = []
        async for m in self["xep_0313"].iterate(jid=archive and slixmpp.JID(archive), with_jid=talker, rsm={"max": 10}):
            inner = m["mam_result"]["forwarded"]["message"]
            got.append((str(inner["from"]), inner["body"]))
        return got


def check(condition, text):
    if not condition:
        raise Failure(text)


def same(got, want, what):
    check(got == want, "%s: expected %r, got %r" % (what, want, got))


def bare(name):
    return "%s@%s" % (name, DOMAIN)


async def is_refused(condition, attempt):
    """Waits for an attempt that the server has to refuse."""
    try:
        await attempt
    except XMPPError as err:
        same(err.condition, condition, "the error")
    else:
        raise Failure("%s was expected, but it worked" % condition)


ends = itertools.count()


async def hears_only(listener, sender, bodies):
    """Shows that the listener has heard these messages since it was last asked, in this order, and no others.

    The sender, who has sent whatever came last, says a word of its own behind it.
    """
    end = "that is all %d" % next(ends)
    await sender.fence()
    sender.chat(listener.boundjid, end)
    got = [await listener.hear("message")]
    while got[-1]["body"] != end:
        got.append(await listener.hear("message"))
    same([m["body"] for m in got[:-1]], bodies, "what %s heard" % listener.boundjid)
    return got[:-1]


async def confab(*args):
    """Runs the command line while the server is up."""
    process = await asyncio.create_subprocess_exec(os.environ["CONFAB"], *args, stdin=asyncio.subprocess.DEVNULL,
                                                   stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    check(process.returncode == 0, "confab %s: %s" % (" ".join(args), out.decode()))
    return out.decode()


async def restart():
    """Stops the server with SIGTERM and starts it again with the same data and ports."""
    script = '. "$0/server.sh" && server_restart "$SERVER_DIR"'
    process = await asyncio.create_subprocess_exec("bash", "-c", script, os.path.dirname(os.path.abspath(__file__)))
    check(await asyncio.wait_for(process.wait(), PATIENCE) == 0, "the server does not restart")
