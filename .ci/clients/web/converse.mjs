// Converse.js, over WebSocket and over BOSH. The checks of a transport are one session of alice, in this order.
import { Browser } from "./browser.mjs";
import { DOMAIN, WEB, check, confab, same, within } from "./check.mjs";
import { Person, end as endStanza } from "./stanza.mjs";

let browser;
let alice;

const team = (transport) => `team-${transport}`;

async function session(transport) {
  browser ??= await Browser.start();
  if (alice?.transport !== transport) {
    await alice?.context.close();
    alice = undefined;
    // Converse enters new rooms when it logs in: it does not understand what it hears of bookmarks later, as it asks
    // to be told of those of XEP-0048, and then looks for those of XEP-0402.
    await confab("alias", "create", team(transport), "alice", "bob", "--room");
    alice = await browser.user("alice", transport);
    await alice.logIn();
  }
  return alice;
}

async function logIn(transport) {
  const alice = await session(transport);
  for (const name of ["bob", "carol"]) await alice.contact(name).waitFor();
}

async function chat(transport) {
  const alice = await session(transport);
  const bob = await new Person("bob").comeOnline();
  await alice.contact("bob").click();
  await alice.says(`hello from Converse <&> ü over ${transport}`);
  const got = await bob.hasMessage(`hello from Converse <&> ü over ${transport}`);
  bob.chat(got.from, `hello to Converse over ${transport}`);
  await alice.sees(`hello to Converse over ${transport}`);
}

async function reload(transport) {
  const alice = await session(transport);
  await alice.page.reload();
  await alice.isOnline();
  await alice.contact("bob").click();
  await alice.sees(`hello from Converse <&> ü over ${transport}`);
  await alice.sees(`hello to Converse over ${transport}`);
  const bob = await new Person("bob").comeOnline();
  await alice.says(`after the reload over ${transport}`);
  await bob.hasMessage(`after the reload over ${transport}`);
}

async function history(transport) {
  await session(transport);
  const elsewhere = await browser.user("alice", transport);
  try {
    await elsewhere.logIn();
    await elsewhere.contact("bob").click();
    await elsewhere.sees(`hello from Converse <&> ü over ${transport}`);
    await elsewhere.sees(`hello to Converse over ${transport}`);
  } catch (error) {
    elsewhere.tell();
    throw error;
  } finally {
    await elsewhere.context.close();
  }
}

async function room(transport) {
  const alice = await session(transport);
  const address = `${team(transport)}@conference.${DOMAIN}`;
  const bob = await new Person("bob").comeOnline();
  await within(bob.client.joinRoom(address, "bob"), "entering the room");
  await bob.hear("available", (p) => p.from === `${address}/alice`);
  await alice.page.locator(`a.open-room[data-room-jid="${address}"]`).click();
  await alice.says(`hello team over ${transport}`);
  const got = await bob.hear("groupchat", (m) => m.body === `hello team over ${transport}`);
  same(got.from, `${address}/alice`, "who said it in the room");
  bob.client.sendMessage({ to: address, type: "groupchat", body: `hello Converse over ${transport}` });
  await alice.sees(`hello Converse over ${transport}`);
}

async function file(transport) {
  const alice = await session(transport);
  const bob = await new Person("bob").comeOnline();
  const text = `what is in the file over ${transport}`;
  await alice.contact("bob").click();
  const input = alice.conversation.locator("input.fileupload");
  await input.setInputFiles({ name: `${transport}.txt`, mimeType: "text/plain", buffer: Buffer.from(text) });
  const got = await bob.hear("chat", (m) => m.body?.endsWith(`/${transport}.txt`));
  check(got.body.startsWith(`${WEB}/upload/`), `the file is at ${got.body}`);
  const answer = await within(fetch(got.body), "getting the file");
  same(await within(answer.text(), "getting the file"), text, "the file");
}

const steps = {
  "login and colleagues": logIn,
  "chat both ways": chat,
  "the page loaded again": reload,
  "the history in another browser": history,
  "the room of an alias": room,
  "a file": file,
};

export const checks = {};
for (const [name, transport] of [["WebSocket", "websocket"], ["BOSH", "bosh"]]) {
  for (const [step, run] of Object.entries(steps)) {
    checks[`Converse over ${name}: ${step}`] = async () => {
      try {
        await run(transport);
      } catch (error) {
        alice?.tell();
        throw error;
      }
    };
  }
}

export const end = endStanza;

export async function close() {
  await browser?.close();
}
