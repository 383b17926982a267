// Web clients against a running confab: node test.mjs [WORD...]
//
// Run by ./run. With words, only those checks are run whose name has one of them.
import * as converse from "./converse.mjs";
import * as stanza from "./stanza.mjs";
import * as xmppjs from "./xmppjs.mjs";
import { within } from "./check.mjs";

const words = process.argv.slice(2);
let failed = 0;
for (const { checks, end } of [xmppjs, stanza, converse]) {
  for (const [name, run] of Object.entries(checks)) {
    if (words.length > 0 && !words.some((w) => name.includes(w))) continue;
    const began = performance.now();
    try {
      try {
        await within(run(), "the check", 180_000);
      } finally {
        await end();
      }
      console.log(`ok    ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed++;
      console.log(`FAIL  ${name}\n${error.stack}`);
    }
  }
}
await within(converse.close(), "the end of the browser").catch((error) => console.log(error.stack));
process.exit(failed > 0 ? 1 : 0); // a client that failed may still hold a connection
