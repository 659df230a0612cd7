// What an agent does with Playwright, step by step, over any CDP endpoint.
// Options: site, elsewhere (origins, see tests/support/site.rs).
import { chromium } from 'playwright-core';
import { commandLine, describePdf, describePng, finish, need, step } from './report.mjs';
import { readCookies } from './cookies_playwright.mjs';

const { cdp, options } = commandLine();
const { site, elsewhere } = options;

const browser = await need('connect', () => chromium.connectOverCDP(cdp));
const context = await need('default context', async () => {
  const [first] = browser.contexts();
  if (!first) throw new Error('the browser has no default context');
  first.setDefaultTimeout(10_000);
  return first;
});
const page = await need('open page', async () => context.pages()[0] ?? context.newPage());

/** @type {string[]} */
const requested = [];
page.on('request', (request) => requested.push(new URL(request.url()).pathname));

await step('navigate', async () => {
  const response = await page.goto(`${site}/`);
  return {
    status: response?.status(),
    title: await page.title(),
    who: await page.textContent('#who'),
  };
});
await step('click', async () => {
  await page.click('#count');
  await page.click('#count');
  return page.textContent('#count');
});
await step('type', async () => {
  await page.fill('#note', '');
  await page.type('#note', 'Door 7 ✓');
  return page.textContent('#echo');
});
await step('evaluate', () => page.evaluate(([a, b]) => a * b, [6, 7]));
await step('screenshot', async () => describePng(await page.screenshot()));
await step('pdf', async () => describePdf(await page.pdf()));
await step('frame', async () => {
  await page.click('#add-frame');
  const frame = page.frameLocator('#frame');
  return frame.locator('h1').textContent();
});
await step('popup', async () => {
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.click('#popup')]);
  await popup.waitForLoadState();
  const text = await popup.textContent('h1');
  await popup.close();
  return text;
});
await step('console', async () => {
  const [message] = await Promise.all([page.waitForEvent('console'), page.click('#log')]);
  return { type: message.type(), text: message.text() };
});
await step('same-site fetch', () =>
  page.evaluate(async () => (await fetch('/whoami')).text()));
await step('requests', async () => requested);
await step('download', async () => {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download')]);
  return { name: download.suggestedFilename(), failure: await download.failure() };
});
await step('new page', async () => {
  const second = await context.newPage();
  await second.goto(`${site}/second`);
  const text = await second.textContent('h1');
  await second.close();
  return { text, closed: second.isClosed() };
});
await step('new context', async () => {
  const fresh = await browser.newContext();
  const inside = await fresh.newPage();
  await inside.goto(`${site}/`);
  const who = await inside.textContent('#who');
  await fresh.close();
  return { who };
});

await readCookies({ browser, context, page, site });

await step('elsewhere: fetch', () =>
  page.evaluate(async (url) => (await fetch(url, { mode: 'no-cors' })).type, `${elsewhere}/fetched`));
await step('elsewhere: navigate', async () => {
  const response = await page.goto(`${elsewhere}/page`);
  return { status: response?.status(), text: await page.innerText('body') };
});
await step('back home', async () => {
  await page.goto(`${site}/`);
  return page.textContent('#who');
});
await step('close page', async () => {
  await page.close();
  return { closed: page.isClosed() };
});
await step('disconnect', () => browser.close());
finish();
