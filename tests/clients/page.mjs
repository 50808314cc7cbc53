// Runs the sample for browsers of docs/guide.md:
//
//   node page.mjs URL PROMPT
//
// Prints what it has appended to the page: as an array of one {"event", "data"} for the response of the URL, and one for
// a response in which no line separator is escaped, which has all that JSON leaves unescaped in one delta.
import { readFileSync } from "node:fs";

const [url, prompt] = process.argv.slice(2);
const guide = readFileSync(new URL("../../docs/guide.md", import.meta.url), "utf8");
const [, sample] = /A browser sends the prompt with `fetch`[^`]*```js\n([^]*?)```/.exec(guide);

async function page(fetch) {
  let text = "";
  const document = { body: { append: (more) => (text += more) } };
  await new (async () => {}).constructor("fetch", "document", "prompt", sample)(fetch, document, prompt);
  return text;
}

const TEXT = "a\u0085b\u2028c\u2029d\u000be\u000cf\u001cg\r\nh\ufeff";
const raw = `event: start\ndata: {}\n\nevent: delta\ndata: ${JSON.stringify({ text: TEXT })}\n\n: keep-alive\n\nevent: done\ndata: {}\n\n`;
const events = [
  { event: "page", data: await page((path, init) => fetch(new URL(path, url), init)) },
  { event: "raw", data: (await page(async () => new Response(raw))) === TEXT },
];
console.log(JSON.stringify(events));
