// A whole task with Playwright, over any CDP endpoint.
// Options: site, elsewhere, folder, upload, file (see tests/clients/stage.rs).
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { commandLine, describePng, finish, need, step } from './report.mjs';
import { unzip } from './unzip.mjs';

const { cdp, options } = commandLine();
const { site, elsewhere, folder, upload, file } = options;

const browser = await need('connect', () => chromium.connectOverCDP(cdp));
const context = await need('default context', async () => {
  const [first] = browser.contexts();
  if (!first) throw new Error('the browser has no default context');
  first.setDefaultTimeout(10_000);
  return first;
});
const page = await need('open page', async () => context.pages()[0] ?? context.newPage());
const heading = (/** @type {any} */ where) => where.locator('h1').textContent();

await step('log-in state', async () => {
  await page.goto(`${site}/`);
  return { title: await page.title(), who: await page.textContent('#who') };
});
await step('navigate', async () => {
  await page.click('#second');
  const there = await heading(page);
  await page.goBack();
  return { there, back: await page.textContent('#who') };
});
await step('form', async () => {
  await page.fill('#summary', 'Door 7 ✓');
  await page.selectOption('#state', 'closed');
  await page.click('#send');
  return heading(page);
});
await step('popup', async () => {
  await page.goto(`${site}/`);
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.click('#popup')]);
  const text = await heading(popup);
  await popup.close();
  return text;
});
await step('frame', async () => {
  await page.click('#add-frame');
  return heading(page.frameLocator('#frame'));
});
const shown = async (/** @type {string} */ text) => {
  await page.locator('#content', { hasText: text }).waitFor();
  return page.textContent('#content');
};
await step('upload', async () => {
  const payload = { name: file.name, mimeType: 'text/plain', buffer: Buffer.from(file.text) };
  await page.setInputFiles('#file', payload);
  return shown(file.text);
});
await step('upload: by path', async () => {
  await page.goto(`${site}/`);
  await page.setInputFiles('#file', upload);
  return shown(file.text);
});
/** @type {import('playwright-core').Download | undefined} */
let download;
await step('download', async () => {
  [download] = await Promise.all([page.waitForEvent('download'), page.click('#download')]);
  const failure = await download.failure();
  if (failure) throw new Error(failure);
  return download.suggestedFilename();
});
await step('download: content', async () => {
  const to = join(folder, 'report.csv');
  await download?.saveAs(to);
  return readFile(to, 'utf8');
});
await step('screenshot', async () => {
  await page.setViewportSize({ width: 800, height: 600 });
  return describePng(await page.screenshot());
});
await step('two contexts', async () => {
  const fresh = await browser.newContext();
  const inside = await fresh.newPage();
  await inside.goto(`${site}/`);
  const who = await inside.textContent('#who');
  const own = await inside.evaluate(() => {
    document.cookie = 'mine=1';
    return document.cookie;
  });
  const other = await page.evaluate(() => document.cookie);
  await fresh.close();
  return { inside: who, own, shared: other.includes('mine') };
});

/** @type {Map<string, Buffer>} */
let trace = new Map();
await step('tracing', async () => {
  await context.tracing.start({ screenshots: true, snapshots: true });
  await page.goto(`${site}/`);
  await page.click('#second');
  await heading(page);
  const path = join(folder, 'trace.zip');
  await context.tracing.stop({ path });
  trace = unzip(await readFile(path));
  const lines = (/** @type {string} */ name) =>
    trace.get(name)?.toString().split('\n').filter(Boolean).map((line) => JSON.parse(line)) ?? [];
  const events = lines('trace.trace');
  const snapshots = events.filter(({ type }) => type === 'frame-snapshot');
  return {
    calls: events.filter(({ type }) => type === 'before').map(({ method }) => method),
    pictures: events.some(({ type }) => type === 'screencast-frame'),
    snapshots: snapshots.some(({ snapshot }) => JSON.stringify(snapshot.html).includes('Dispatcher')),
    requests: lines('trace.network')
      .map(({ snapshot }) => `${snapshot.response.status} ${new URL(snapshot.request.url).pathname}`)
      .sort(),
  };
});
await step('tracing: cookies', async () =>
  [...new Set([...trace.values()].flatMap((bytes) => String(bytes).match(/\w+-of-the-desk-\w+/g) ?? []))].sort());

await step('service worker', async () => {
  await page.goto(`${site}/`);
  const [worker] = await Promise.all([context.waitForEvent('serviceworker'), page.click('#register')]);
  await page.locator('#worker', { hasText: 'worker' }).waitFor();
  const answer = await page.textContent('#worker');
  await page.goto(`${site}/made-by-worker`);
  const scope = await worker.evaluate(() => /** @type {any} */ (self).registration.scope);
  if (scope !== `${site}/`) throw new Error(`the worker's scope is ${scope}`);
  return { answer, page: await heading(page) };
});
await step('elsewhere', async () => (await page.goto(`${elsewhere}/page`))?.status());
await step('close page', () => page.close());
await step('disconnect', () => browser.close());
finish();
