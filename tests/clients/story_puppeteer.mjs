// What an agent does with Puppeteer, step by step, over any CDP endpoint.
// Options: site, elsewhere (origins, see tests/support/site.rs).
import puppeteer from 'puppeteer-core';
import { commandLine, describePdf, describePng, finish, need, step } from './report.mjs';
import { readCookies } from './cookies_puppeteer.mjs';

const { cdp, options } = commandLine();
const { site, elsewhere } = options;

const browser = await need('connect', () =>
  puppeteer.connect({ browserWSEndpoint: cdp, defaultViewport: null }));
const page = await need('open page', async () => {
  const [first] = await browser.pages();
  const opened = first ?? (await browser.newPage());
  opened.setDefaultTimeout(10_000);
  return opened;
});

/** @type {string[]} */
const requested = [];
page.on('request', (request) => requested.push(new URL(request.url()).pathname));

/** @param {import('puppeteer-core').Page | import('puppeteer-core').Frame} where */
const text = (where, selector) => where.$eval(selector, (element) => element.textContent);

/**
 * The next event of that name.
 * @param {any} emitter
 * @param {string} name
 * @returns {Promise<any>}
 */
const next = (emitter, name) => new Promise((resolve) => emitter.once(name, resolve));

await step('navigate', async () => {
  const response = await page.goto(`${site}/`);
  return { status: response?.status(), title: await page.title(), who: await text(page, '#who') };
});
await step('click', async () => {
  await page.click('#count');
  await page.click('#count');
  return text(page, '#count');
});
await step('type', async () => {
  await page.type('#note', 'Door 7 ✓');
  return text(page, '#echo');
});
await step('evaluate', () => page.evaluate((a, b) => a * b, 6, 7));
await step('screenshot', async () => describePng(await page.screenshot()));
await step('pdf', async () => describePdf(await page.pdf()));
await step('frame', async () => {
  await page.click('#add-frame');
  const element = await page.waitForSelector('#frame');
  const frame = await element?.contentFrame();
  await frame?.waitForSelector('h1');
  return frame && text(frame, 'h1');
});
await step('popup', async () => {
  const opened = next(page, 'popup');
  await page.click('#popup');
  const popup = await opened;
  await popup.waitForSelector('h1');
  const heading = await text(popup, 'h1');
  await popup.close();
  return heading;
});
await step('console', async () => {
  const logged = next(page, 'console');
  await page.click('#log');
  const message = await logged;
  return { type: message.type(), text: message.text() };
});
await step('same-site fetch', () =>
  page.evaluate(async () => (await fetch('/whoami')).text()));
await step('requests', async () => requested);
await step('download', async () => {
  const session = await page.createCDPSession();
  const begun = next(session, 'Page.downloadWillBegin');
  await session.send('Page.enable');
  await page.click('#download');
  const { suggestedFilename: name } = await begun;
  await session.detach();
  return { name };
});
await step('new page', async () => {
  const second = await browser.newPage();
  await second.goto(`${site}/second`);
  const heading = await text(second, 'h1');
  await second.close();
  return { text: heading, closed: second.isClosed() };
});
await step('new context', async () => {
  const fresh = await browser.createBrowserContext();
  const inside = await fresh.newPage();
  await inside.goto(`${site}/`);
  const who = await text(inside, '#who');
  await fresh.close();
  return { who };
});

await readCookies({ browser, page, site });

await step('elsewhere: fetch', () =>
  page.evaluate(async (url) => (await fetch(url, { mode: 'no-cors' })).type, `${elsewhere}/fetched`));
await step('elsewhere: navigate', async () => {
  const response = await page.goto(`${elsewhere}/page`);
  return {
    status: response?.status(),
    text: await page.$eval('body', (body) => /** @type {HTMLElement} */ (body).innerText),
  };
});
await step('back home', async () => {
  await page.goto(`${site}/`);
  return text(page, '#who');
});
await step('close page', async () => {
  await page.close();
  return { closed: page.isClosed() };
});
await step('disconnect', () => browser.disconnect());
finish();
