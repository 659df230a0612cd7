// A whole task through Playwright's MCP server, as an assistant would do it: tools
// are called over standard input and output, what they answer is text.
// Options: site, elsewhere (origins, see tests/support/site.rs), folder to write to,
// file to hand in.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { commandLine, finish, need, step } from './report.mjs';

const { cdp, options } = commandLine();
const { site, elsewhere, folder } = options;

const manifest = createRequire(import.meta.url).resolve('@playwright/mcp/package.json');
const server = spawn(
  process.execPath,
  [join(dirname(manifest), 'cli.js'), '--cdp-endpoint', cdp, '--output-dir', folder],
  { stdio: ['pipe', 'pipe', 'ignore'], cwd: folder },
);
/** @type {Map<number, (message: any) => void>} */
const waiting = new Map();
createInterface({ input: server.stdout }).on('line', (line) => {
  const message = JSON.parse(line);
  waiting.get(message.id)?.(message);
});
let count = 0;
const send = (message) => server.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const ask = (method, params) =>
  new Promise((resolve, reject) => {
    const id = ++count;
    waiting.set(id, (answer) => (answer.error ? reject(new Error(answer.error.message)) : resolve(answer.result)));
    send({ id, method, params });
  });
/** Calls a tool; its text, or an error of that text. */
async function tool(name, given = {}) {
  const { content, isError } = await ask('tools/call', { name, arguments: given });
  const text = content.map((part) => part.text ?? `[${part.type}]`).join('\n');
  if (isError) throw new Error(text);
  return text;
}
/** What the page says, by the snapshot that assistants read. */
const sees = async (...wanted) => {
  const text = await tool('browser_snapshot');
  return wanted.map((part) => text.includes(part));
};
/** The name by which the snapshot calls an element. */
const ref = async (pattern) => {
  const text = await tool('browser_snapshot');
  const found = text.split('\n').find((line) => pattern.test(line));
  return /\[ref=([^\]]+)\]/.exec(found ?? text)?.[1];
};
const click = async (what, pattern) => tool('browser_click', { element: what, target: await ref(pattern), ref: await ref(pattern) });
const evaluate = async (script) =>
  (await tool('browser_evaluate', { function: script })).split('### Result\n')[1]?.split('\n')[0];

await need('connect', async () => {
  await ask('initialize', {
    protocolVersion: '2025-06-18',
    capabilities: {},
    clientInfo: { name: 'task', version: '1' },
  });
  send({ method: 'notifications/initialized' });
  const { tools } = await ask('tools/list', {});
  return tools.length;
});
await step('log-in state', async () => {
  await tool('browser_navigate', { url: `${site}/` });
  return sees('Dispatcher', 'button "popup"');
});
await step('navigate', async () => {
  await tool('browser_navigate', { url: `${site}/second` });
  const there = await sees('second page for Dispatcher');
  await tool('browser_navigate_back');
  return [there, await sees('button "popup"')];
});
await step('form', async () => {
  await tool('browser_navigate', { url: `${site}/form` });
  const note = await ref(/textbox/);
  await tool('browser_type', { element: 'note', target: note, ref: note, text: 'Door 7 ✓' });
  await click('send', /button "send"/);
  await tool('browser_wait_for', { text: 'saved' });
  return sees('Door 7 ✓ open for Dispatcher');
});
await step('frame', async () => {
  await tool('browser_navigate', { url: `${site}/` });
  await click('frame', /button "frame"/);
  await tool('browser_wait_for', { time: 1 });
  return sees('framed for Dispatcher');
});
await step('popup', async () => {
  await click('popup', /button "popup"/);
  const tabs = await tool('browser_tabs', { action: 'list' });
  await tool('browser_tabs', { action: 'select', index: 1 });
  const there = await sees('popped up for Dispatcher');
  await tool('browser_tabs', { action: 'close', index: 1 });
  return [tabs.includes('/popup'), there];
});
await step('screenshot', async () => (await tool('browser_take_screenshot')).includes('[image]'));
await step('service worker', async () => {
  await tool('browser_navigate', { url: `${site}/worker` });
  return evaluate(
    "async () => { await navigator.serviceWorker.ready; while (!navigator.serviceWorker.controller) await new Promise((r) => setTimeout(r, 10)); return (await fetch('/from-worker')).text(); }",
  );
});
await step('requests', async () => (await tool('browser_network_requests')).includes('/worker'));
await step('elsewhere', async () => {
  await tool('browser_navigate', { url: `${elsewhere}/page` }).catch(() => {});
  return sees('you are elsewhere', 'origin-out-of-scope');
});
await step('disconnect', async () => {
  await tool('browser_close');
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.stdin.end();
  await ended;
});
finish();
process.exit(0);
