"""Administration from a client: ad-hoc commands and their forms."""
import asyncio

from slixmpp.plugins.xep_0004.stanza import Form

from slixmpp_client import DOMAIN, PATIENCE, Client, bare, check, confab, same

PLUGINS = ("xep_0004", "xep_0050", "xep_0133")
ADMIN = "http://jabber.org/protocol/admin#"


class Command:
    """A command that somebody runs, by slixmpp's own keeping of sessions."""

    def __init__(self, client, node):
        self.client, self.node = client, node
        self.answers = asyncio.Queue()
        self.session = {"next": self.answered, "error": self.answered}

    def answered(self, iq, session):
        self.session = session
        self.answers.put_nowait(iq)

    async def answer(self):
        return await asyncio.wait_for(self.answers.get(), PATIENCE)

    async def begin(self):
        self.client["xep_0050"].start_command(DOMAIN, self.node, self.session)
        return await self.answer()

    async def fill_in(self, direction="complete", **fields):
        form = Form()
        form["type"] = "submit"
        for name, value in fields.items():
            form.add_field(var=name.replace("__", "."), value=value)
        self.session["payload"] = [form]
        if direction == "complete":
            self.client["xep_0050"].complete_command(self.session)
        else:
            self.client["xep_0050"].continue_command(self.session, direction)
        return await self.answer()


async def add_user():
    """An administrator adds a user by XEP-0133, who logs in; others may not."""
    dora = await Client("dora", plugins=PLUGINS).come_online()
    items = (await dora["xep_0133"].get_commands())["disco_items"]["items"]
    nodes = {i[1] for i in items}
    check({ADMIN + "add-user", ADMIN + "announce", "urn:confab:commands:alias-create"} <= nodes, "the commands are %s" % nodes)

    command = Command(dora, ADMIN + "add-user")
    iq = await command.begin()
    same(iq["command"]["status"], "executing", "the command")
    same(iq["command"]["actions"], {"complete"}, "what can be done")
    same(list(iq["command"]["form"].get_fields())[:3], ["FORM_TYPE", "accountjid", "password"], "the fields")
    fields = {"accountjid": bare("erin"), "password": "pw-erin", "password-verify": "pw-other"}
    iq = await command.fill_in(**fields)
    same((iq["type"], iq["error"]["condition"]), ("error", "bad-request"), "two passwords")
    iq = await command.fill_in(**{**fields, "password-verify": "pw-erin", "given_name": "Erin", "surname": "Eliot"})
    same((iq["command"]["status"], iq["command"]["notes"]), ("completed", [("info", bare("erin") + " was added")]), "the end")
    erin = await Client("erin", plugins=PLUGINS).come_online()
    same((await erin["xep_0133"].get_commands())["disco_items"]["items"], set(), "what a user can run")
    iq = await Command(erin, ADMIN + "add-user").begin()
    same(iq["error"]["condition"], "forbidden", "a user who tries")

    iq = await Command(dora, ADMIN + "get-online-users-num").begin()
    same(iq["command"]["form"].get_values()["onlineusersnum"], "2", "who is online")
    command = Command(dora, ADMIN + "get-registered-users-list")
    await command.begin()
    iq = await command.fill_in(max_items="25")
    check(bare("erin") in iq["command"]["form"].get_values()["registereduserjids"], "she is not in the list")

    command = Command(dora, ADMIN + "announce")
    await command.begin()
    await command.fill_in(announcement=["Dinner", "is served"])
    message = await erin.hear("message")
    same((str(message["from"]), message["body"]), (DOMAIN, "Dinner\nis served"), "the announcement")
    await erin.leave()
    command = Command(dora, ADMIN + "delete-user")
    await command.begin()
    iq = await command.fill_in(accountjids=[bare("erin")])
    same(iq["command"]["status"], "completed", "the end")


async def alias_by_form():
    """An administrator makes an alias by a form, changes it in two steps, and deletes it."""
    dora = await Client("dora", plugins=PLUGINS).come_online()
    alice = await Client("alice").come_online()
    command = Command(dora, "urn:confab:commands:alias-create")
    await command.begin()
    iq = await command.fill_in(address="press", name="Press", members=["alice", "bob"], settings__label="never")
    same(iq["command"]["status"], "completed", "the end")
    await alice.hear("roster_update", lambda iq: bare("press") in iq["roster"]["items"])

    command = Command(dora, "urn:confab:commands:alias-set")
    await command.begin()
    iq = await command.fill_in("next", address=bare("press"))
    same(iq["command"]["actions"], {"prev", "complete"}, "what can be done")
    values = iq["command"]["form"].get_values()
    same((values["name"], values["settings.label"]), ("Press", "never"), "how it is")
    await command.fill_in(name="Press office")
    check("Press office" in await confab("alias", "show", "press"), "it was not renamed")

    command = Command(dora, "urn:confab:commands:alias-delete")
    await command.begin()
    await command.fill_in(address=bare("press"))
    await alice.hear("roster_update", lambda iq: iq["roster"]["items"].get(bare("press"), {}).get("subscription") == "remove")


CHECKS = [add_user, alias_by_form]
