// What the checks of web clients have in common. The environment is set by ../run: DOMAIN, HTTPS_PORT, CA_FILE,
// CONFAB_DATA, and CONFAB, the program.
import { execFile } from "node:child_process";

export const DOMAIN = process.env.DOMAIN;
export const WEB = `https://${DOMAIN}:${process.env.HTTPS_PORT}`;
export const WEBSOCKET = `wss://${DOMAIN}:${process.env.HTTPS_PORT}/xmpp-websocket`;
export const BOSH = `${WEB}/http-bind`;
export const PATIENCE = 60_000; // ms; only failures take that long

export class Failure extends Error {}

export function check(condition, text) {
  if (!condition) throw new Failure(text);
}

export function same(got, want, what) {
  check(got === want, `${what}: expected ${JSON.stringify(want)}, got ${JSON.stringify(got)}`);
}

export const bare = (name) => `${name}@${DOMAIN}`;

// within settles as the promise does, and fails when that takes too long.
export async function within(promise, what, patience = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Failure(`no end of: ${what}`)), patience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Heard keeps what a client hears until somebody asks for it.
export class Heard {
  #items = [];
  #waiting = new Set();

  note(kind, data) {
    this.#items.push([kind, data]);
    for (const look of this.#waiting) look();
  }

  // hear returns the first of a kind that is wanted. The others stay for whoever asks for them.
  async hear(kind, wanted = () => true) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const i = this.#items.findIndex(([k, data]) => k === kind && wanted(data));
        if (i >= 0) resolve(this.#items.splice(i, 1)[0][1]);
      };
      this.#waiting.add(look);
      look();
    });
    try {
      return await within(found, `waiting for ${kind}`);
    } catch (error) {
      throw new Failure(`${error.message}; heard ${JSON.stringify(this.#items.map(([k]) => k))}`);
    } finally {
      this.#waiting.delete(look);
    }
  }
}

// confab runs the command line while the server is up.
export function confab(...args) {
  return new Promise((resolve, reject) => {
    const done = (error, stdout, stderr) =>
      error ? reject(new Failure(`confab ${args.join(" ")}: ${stdout}${stderr}`)) : resolve(stdout);
    execFile(process.env.CONFAB, args, { timeout: PATIENCE }, done).stdin.end();
  });
}
