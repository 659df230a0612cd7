// A whole task with Puppeteer, over any CDP endpoint.
// Options: site, elsewhere, folder, upload, file (see tests/clients/stage.rs).
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { intercept } from './intercept_puppeteer.mjs';
import { commandLine, describePng, finish, need, step } from './report.mjs';

const { cdp, options } = commandLine();
const { site, elsewhere, folder, upload, file } = options;

const browser = await need('connect', () =>
  puppeteer.connect({
    browserWSEndpoint: cdp,
    defaultViewport: null,
    downloadBehavior: { policy: 'allow', downloadPath: folder },
  }));
const page = await need('open page', async () => {
  const [first] = await browser.pages();
  const opened = first ?? (await browser.newPage());
  opened.setDefaultTimeout(10_000);
  return opened;
});

/** @param {import('puppeteer-core').Page | import('puppeteer-core').Frame} where */
const text = async (where, selector) => {
  const element = await where.waitForSelector(selector);
  return element?.evaluate((found) => found.textContent);
};
/**
 * The next event of that name.
 * @param {any} emitter
 * @param {string} name
 * @returns {Promise<any>}
 */
const next = (emitter, name) => new Promise((resolve) => emitter.once(name, resolve));
const filled = (/** @type {string} */ selector) =>
  page.waitForFunction((at) => document.querySelector(at)?.textContent, {}, selector);

await step('log-in state', async () => {
  await page.goto(`${site}/`);
  return { title: await page.title(), who: await text(page, '#who') };
});
await step('navigate', async () => {
  await Promise.all([page.waitForNavigation(), page.click('#second')]);
  const there = await text(page, 'h1');
  await page.goBack();
  return { there, back: await text(page, '#who') };
});
await step('form', async () => {
  await page.type('#summary', 'Door 7 ✓');
  await page.select('#state', 'closed');
  await Promise.all([page.waitForNavigation(), page.click('#send')]);
  return text(page, 'h1');
});
await step('popup', async () => {
  await page.goto(`${site}/`);
  const [popup] = await Promise.all([next(page, 'popup'), page.click('#popup')]);
  const heading = await text(popup, 'h1');
  await popup.close();
  return heading;
});
await step('frame', async () => {
  await page.click('#add-frame');
  const element = await page.waitForSelector('#frame');
  const frame = await element?.contentFrame();
  return frame && text(frame, 'h1');
});
await step('upload', async () => {
  const input = /** @type {any} */ (await page.waitForSelector('#file'));
  await input.uploadFile(upload);
  await filled('#content');
  return text(page, '#content');
});
await step('download', async () => {
  const whole = await browser.target().createCDPSession();
  const begun = next(whole, 'Browser.downloadWillBegin');
  const done = new Promise((resolve, reject) => {
    whole.on('Browser.downloadProgress', ({ state }) => {
      if (state === 'completed') resolve(state);
      if (state === 'canceled') reject(new Error('the download was cancelled'));
    });
  });
  await whole.send('Browser.setDownloadBehavior', {
    behavior: 'allow', downloadPath: folder, eventsEnabled: true,
  });
  await page.click('#download');
  const { suggestedFilename: name } = await begun;
  await done;
  await whole.detach();
  return name;
});
await step('download: content', () => readFile(join(folder, 'report.csv'), 'utf8'));
await step('screenshot', async () => {
  await page.setViewport({ width: 800, height: 600 });
  return describePng(await page.screenshot());
});
await step('two contexts', async () => {
  const fresh = await browser.createBrowserContext();
  const inside = await fresh.newPage();
  await inside.goto(`${site}/`);
  const who = await text(inside, '#who');
  const own = await inside.evaluate(() => {
    document.cookie = 'mine=1';
    return document.cookie;
  });
  const other = await page.evaluate(() => document.cookie);
  await fresh.close();
  return { inside: who, own, shared: other.includes('mine') };
});

await intercept({ page, site, elsewhere });

await step('service worker', async () => {
  await page.goto(`${site}/`);
  await page.click('#register');
  const target = await browser.waitForTarget((found) => found.type() === 'service_worker');
  const worker = await target.worker();
  await filled('#worker');
  const answer = await text(page, '#worker');
  await page.goto(`${site}/made-by-worker`);
  const scope = await worker?.evaluate(() => /** @type {any} */ (self).registration.scope);
  if (scope !== `${site}/`) throw new Error(`the worker's scope is ${scope}`);
  return { answer, page: await text(page, 'h1') };
});
await step('elsewhere', async () => (await page.goto(`${elsewhere}/page`))?.status());
await step('close page', () => page.close());
await step('disconnect', () => browser.disconnect());
finish();
