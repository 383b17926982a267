// Converse.js in a Chromium without a screen.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { BOSH, Failure, PATIENCE, WEBSOCKET, bare } from "./check.mjs";

const converse = fileURLToPath(new URL("node_modules/converse.js/dist/", import.meta.url));

const types = { ".css": "text/css", ".js": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };

const page = (transport) => `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/dist/converse.min.css">
<body class="converse-fullscreen">
<script type="module" src="/dist/converse.min.js"></script>
<script type="module">
import converse from "/dist/converse.min.js";
converse.initialize({
    assets_path: "/dist/",
    discover_connection_methods: false,
    i18n: "en",
    loglevel: "debug",
    play_sounds: false,
    show_desktop_notifications: false,
    view_mode: "fullscreen",
    ${transport === "bosh" ? `bosh_service_url: "${BOSH}"` : `websocket_url: "${WEBSOCKET}"`},
});
</script>
`;

// serve is the web server of some site, with a page for each transport.
function serve() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://site");
    const answer = (status, type, body) => response.writeHead(status, { "Content-Type": type }).end(body);
    if (pathname === "/websocket" || pathname === "/bosh") {
      answer(200, "text/html", page(pathname.slice(1)));
      return;
    }
    try {
      const path = normalize(decodeURIComponent(pathname));
      if (!path.startsWith("/dist/")) throw new Error("not here");
      const file = join(converse, path.slice("/dist/".length));
      answer(200, types[extname(file)] ?? "application/octet-stream", await readFile(file));
    } catch {
      answer(404, "text/plain", "not found");
    }
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

export class Browser {
  static async start() {
    const b = new Browser();
    b.site = await serve();
    b.chromium = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      headless: true,
      timeout: PATIENCE,
      args: [
        ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
        "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
      ],
    });
    return b;
  }

  async close() {
    await this.chromium.close();
    this.site.close();
    this.site.closeAllConnections();
  }

  // user opens the page in a browser that has never seen it.
  async user(name, transport) {
    const context = await this.chromium.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(PATIENCE);
    const user = new User(name, transport, context, await context.newPage());
    await user.page.goto(`http://127.0.0.1:${this.site.address().port}/${transport}`);
    return user;
  }
}

// User is somebody at a page of Converse.
class User {
  constructor(name, transport, context, page) {
    Object.assign(this, { name, transport, context, page, said: [] });
    page.on("console", (m) => this.said.push(`${m.type()}: ${m.text()}`));
    page.on("pageerror", (e) => this.said.push(`page error: ${e.stack}`));
    page.on("requestfailed", (r) => this.said.push(`failed: ${r.method()} ${r.url()}: ${r.failure()?.errorText}`));
  }

  // tell prints what the page said last to the console.
  tell() {
    const last = this.said.splice(0).slice(-150);
    console.log(`-- ${this.name}'s console:\n${last.map((line) => line.slice(0, 600)).join("\n")}\n--`);
  }

  async logIn() {
    await this.page.locator("#converse-login-jid").fill(bare(this.name));
    await this.page.locator("#converse-login-password").fill(`pw-${this.name}`);
    await this.page.locator("#converse-login button[type=submit]").click();
    await this.isOnline();
  }

  async isOnline() {
    await this.page.locator("converse-user-profile").waitFor();
  }

  // contact is somebody in the list, who is there twice with unread messages.
  contact(name) {
    return this.page.locator(`converse-roster-contact a.open-chat[data-jid="${bare(name)}"]`).first();
  }

  // conversation is the open chat or room.
  get conversation() {
    return this.page.locator(".chatbox:not(.hidden):not(#controlbox)");
  }

  async sees(body) {
    const said = this.conversation.locator(".chat-msg__text", { hasText: body });
    await said.first().waitFor().catch((error) => {
      throw new Failure(`${this.name} does not see ${JSON.stringify(body)}: ${error.message}`);
    });
  }

  async says(body) {
    await this.conversation.locator("textarea.chat-textarea").fill(body);
    await this.conversation.locator("textarea.chat-textarea").press("Enter");
  }
}
