// A whole task with Playwright for Node, step by step, over any CDP endpoint.
// Options: site, elsewhere (origins, see tests/support/site.rs), folder to write to.
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';
import { commandLine, describePng, finish, need, step } from './report.mjs';

const { cdp, options } = commandLine();
const { site, elsewhere, folder } = options;

const browser = await need('connect', () => chromium.connectOverCDP(cdp));
const context = await need('default context', async () => browser.contexts()[0]);
context.setDefaultTimeout(10_000);
const page = await need('open page', async () => context.pages()[0] ?? context.newPage());
const trace = `${folder}/trace.zip`;
await step('tracing: start', () => context.tracing.start({ screenshots: true, snapshots: true }));

await step('log-in state', async () => {
  const response = await page.goto(`${site}/`);
  return { status: response?.status(), who: await page.textContent('#who') };
});
await step('navigate', async () => {
  await page.goto(`${site}/second`);
  const there = await page.textContent('h1');
  await page.goBack();
  await page.goForward();
  return { there, again: await page.textContent('h1'), url: new URL(page.url()).pathname };
});
await step('form', async () => {
  await page.goto(`${site}/form`);
  await page.fill('input[name=note]', 'Door 7 ✓');
  await page.selectOption('select[name=state]', 'closed');
  await page.check('input[name=urgent]');
  await Promise.all([page.waitForURL('**/submitted'), page.click('button')]);
  return page.textContent('h1');
});
await step('popup', async () => {
  await page.goto(`${site}/`);
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.click('#popup')]);
  const text = await popup.textContent('h1');
  await popup.close();
  return text;
});
await step('frame', async () => {
  await page.click('#add-frame');
  return page.frameLocator('#frame').locator('h1').textContent();
});
await step('download', async () => {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download')]);
  return { name: download.suggestedFilename(), failure: await download.failure() };
});
await step('upload', async () => {
  await page.goto(`${site}/upload`);
  const file = { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('hello world') };
  await page.setInputFiles('input[type=file]', file);
  await Promise.all([page.waitForURL('**/uploaded'), page.click('button')]);
  return page.textContent('h1');
});
await step('screenshot', async () => describePng(await page.screenshot()));
await step('service worker', async () => {
  await page.goto(`${site}/worker`);
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
  return page.evaluate(async () => (await fetch('/from-worker')).text());
});
await step('route', async () => {
  await page.route('**/whoami', (route) => route.fulfill({ body: 'made up' }));
  await page.route('**/unwanted', (route) => route.abort());
  const got = await page.evaluate(async () => [
    await (await fetch('/whoami')).text(),
    await fetch('/unwanted').then(() => 'came', () => 'aborted'),
  ]);
  await page.unrouteAll();
  return got;
});
await step('two contexts', async () => {
  const seen = [];
  for (const name of ['one', 'two']) {
    const fresh = await browser.newContext();
    const inside = await fresh.newPage();
    await inside.goto(`${site}/`);
    await inside.evaluate((value) => localStorage.setItem('name', value), name);
    seen.push([await inside.textContent('#who'), await inside.evaluate(() => localStorage.length)]);
    await fresh.close();
  }
  return seen;
});
await step('tracing: stop', async () => {
  await context.tracing.stop({ path: trace });
  const zip = await readFile(trace);
  return { zip: zip.subarray(0, 2).toString(), whole: zip.length > 10_000 };
});
await step('elsewhere', async () => (await page.goto(`${elsewhere}/page`))?.status());
await step('disconnect', () => browser.close());
finish();
