// A whole task with Puppeteer, step by step, over any CDP endpoint.
// Options: site, elsewhere (origins, see tests/support/site.rs), file to hand in.
import puppeteer from 'puppeteer-core';
import { commandLine, describePng, finish, need, step } from './report.mjs';

const { cdp, options } = commandLine();
const { site, elsewhere, file } = options;

const browser = await need('connect', () =>
  puppeteer.connect({ browserWSEndpoint: cdp, defaultViewport: null }));
const page = await need('open page', async () => (await browser.pages())[0] ?? browser.newPage());
page.setDefaultTimeout(10_000);

/** @param {import('puppeteer-core').Page | import('puppeteer-core').Frame} where */
const text = (where, selector) => where.$eval(selector, (element) => element.textContent);

await step('log-in state', async () => {
  const response = await page.goto(`${site}/`);
  return { status: response?.status(), who: await text(page, '#who') };
});
await step('navigate', async () => {
  await page.goto(`${site}/second`);
  const there = await text(page, 'h1');
  await page.goBack();
  await page.goForward();
  return { there, again: await text(page, 'h1'), url: new URL(page.url()).pathname };
});
await step('form', async () => {
  await page.goto(`${site}/form`);
  await page.type('input[name=note]', 'Door 7 ✓');
  await page.select('select[name=state]', 'closed');
  await page.click('input[name=urgent]');
  await Promise.all([page.waitForNavigation(), page.click('button')]);
  return text(page, 'h1');
});
await step('popup', async () => {
  await page.goto(`${site}/`);
  const opened = new Promise((resolve) => page.once('popup', resolve));
  await page.click('#popup');
  const popup = /** @type {any} */ (await opened);
  await popup.waitForSelector('h1');
  const heading = await text(popup, 'h1');
  await popup.close();
  return heading;
});
await step('frame', async () => {
  await page.click('#add-frame');
  const frame = await (await page.waitForSelector('#frame'))?.contentFrame();
  await frame?.waitForSelector('h1');
  return frame && text(frame, 'h1');
});
await step('download', async () => {
  const session = await page.createCDPSession();
  const begun = new Promise((resolve) => session.once('Page.downloadWillBegin', resolve));
  await session.send('Page.enable');
  await page.click('#download');
  const { suggestedFilename } = await begun;
  await session.detach();
  return suggestedFilename;
});
await step('upload', async () => {
  await page.goto(`${site}/upload`);
  const input = await page.waitForSelector('input[type=file]');
  await input?.uploadFile(file);
  await Promise.all([page.waitForNavigation(), page.click('button')]);
  return text(page, 'h1');
});
await step('screenshot', async () => describePng(await page.screenshot()));
await step('service worker', async () => {
  await page.goto(`${site}/worker`);
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
  return page.evaluate(async () => (await fetch('/from-worker')).text());
});
await step('two contexts', async () => {
  const seen = [];
  for (const name of ['one', 'two']) {
    const fresh = await browser.createBrowserContext();
    const inside = await fresh.newPage();
    await inside.goto(`${site}/`);
    await inside.evaluate((value) => localStorage.setItem('name', value), name);
    seen.push([await text(inside, '#who'), await inside.evaluate(() => localStorage.length)]);
    await fresh.close();
  }
  return seen;
});

await step('interception: on', async () => {
  await page.goto(`${site}/`);
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (pathname === '/made-up') request.respond({ status: 200, body: 'made up' });
    else if (pathname === '/unwanted') request.abort();
    else if (pathname === '/moved') request.continue({ url: `${site}/whoami` });
    else if (pathname === '/marked') request.continue({ url: `${site}/echo`, headers: { ...request.headers(), 'x-mark': 'yes' } });
    else if (pathname === '/strayed') request.continue({ url: `${elsewhere}/fetched` });
    else request.continue();
  });
});
const fetched = (path) => page.evaluate((url) => fetch(url).then((r) => r.text(), () => 'failed'), path);
await step('interception: respond', () => fetched('/made-up'));
await step('interception: abort', () => fetched('/unwanted'));
await step('interception: rewrite', () => fetched('/moved'));
await step('interception: continue', () => fetched('/whoami'));
await step('interception: header', async () => (await fetched('/marked')).includes('"x-mark": "yes"'));
await step('interception: astray', () => fetched('/strayed'));
await step('interception: off', async () => {
  page.removeAllListeners('request');
  await page.setRequestInterception(false);
  return fetched('/whoami');
});
await step('elsewhere', async () => (await page.goto(`${elsewhere}/page`))?.status());
await step('disconnect', () => browser.disconnect());
finish();
