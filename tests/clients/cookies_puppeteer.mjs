// Every way in which Puppeteer, or raw CDP through it, may come by a cookie.
// Each reports all it saw, values included: the reader decides what leaked.
import { step } from './report.mjs';

/**
 * @param {object} at
 * @param {import('puppeteer-core').Browser} at.browser
 * @param {import('puppeteer-core').Page} at.page on any page of `site`
 * @param {string} at.site origin, which answers `/echo` with the request's own headers
 */
export async function readCookies({ browser, page, site }) {
  await step('cookie: page.cookies', () => page.cookies(`${site}/`));
  await step('cookie: context.cookies', () => browser.defaultBrowserContext().cookies());

  const session = await page.createCDPSession().catch(() => undefined);
  const send = (/** @type {any} */ method, params = {}) => {
    if (!session) throw new Error('no CDP session');
    return session.send(method, params);
  };
  await step('cookie: Network.getCookies', () => send('Network.getCookies', { urls: [`${site}/`] }));
  await step('cookie: Network.getAllCookies', () => send('Network.getAllCookies'));
  await step('cookie: Storage.getCookies', () => send('Storage.getCookies'));
  await step('cookie: Storage.getCookies of the browser', async () => {
    const whole = await browser.target().createCDPSession();
    return whole.send('Storage.getCookies').finally(() => whole.detach());
  });

  await step('cookie: extra info', async () => {
    /** @type {unknown[]} */
    const seen = [];
    const keep = (/** @type {any} */ event) => seen.push(event);
    session?.on('Network.requestWillBeSentExtraInfo', keep);
    session?.on('Network.responseReceivedExtraInfo', keep);
    await send('Network.enable');
    await page.goto(`${site}/`);
    // An answer after the load: events that belong to the load came before it.
    await send('Runtime.evaluate', { expression: '1' });
    return seen;
  });
  await step('cookie: request.headers', async () => {
    const response = await page.goto(`${site}/`);
    return response?.request().headers();
  });
  await step('cookie: document.cookie', () => page.evaluate(() => document.cookie));
  await step('cookie: echoed into the page', async () => {
    await page.goto(`${site}/echo`);
    return page.$eval('body', (body) => body.textContent);
  });
  await step('cookie: echoed body', async () => {
    const response = await page.goto(`${site}/echo`);
    return response?.text();
  });
  await session?.detach().catch(() => undefined);
}
