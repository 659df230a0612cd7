// Puppeteer's request interception: what a script may make of a request.
import { step } from './report.mjs';

/**
 * @param {object} at
 * @param {import('puppeteer-core').Page} at.page
 * @param {string} at.site origin, whose `/asked` tells how it was asked
 * @param {string} at.elsewhere origin out of scope
 */
export async function intercept({ page, site, elsewhere }) {
  const answers = {
    '/continued': {},
    '/rewritten': { url: `${site}/asked` },
    '/posted': { url: `${site}/asked`, method: 'POST', postData: 'a=1' },
    '/elsewhere': { url: `${elsewhere}/page` },
    '/deleted': { url: `${site}/asked`, method: 'DELETE' },
  };
  /** @type {string[]} */
  const seen = [];
  const decide = async (/** @type {import('puppeteer-core').HTTPRequest} */ request) => {
    const { pathname } = new URL(request.url());
    seen.push(pathname);
    if (pathname === '/aborted') return request.abort('failed');
    if (pathname === '/answered') {
      const headers = { 'x-answered': 'by the script' };
      return request.respond({ status: 201, contentType: 'text/plain', headers, body: 'made up' });
    }
    const rewritten = answers[/** @type {keyof typeof answers} */ (pathname)];
    const headers = { ...request.headers(), 'x-rewritten': 'a header' };
    return request.continue(rewritten && pathname !== '/elsewhere' ? { ...rewritten, headers } : rewritten);
  };
  const fetched = (/** @type {string} */ path) =>
    page.evaluate(async (at) => {
      const response = await fetch(at);
      return { status: response.status, text: await response.text() };
    }, path);

  await step('interception: on', async () => {
    await page.goto(`${site}/`);
    page.on('request', decide);
    await page.setRequestInterception(true);
  });
  await step('interception: navigation', async () => {
    const response = await page.goto(`${site}/second`);
    return { status: response?.status(), text: await page.$eval('h1', (found) => found.textContent) };
  });
  await step('interception: continued', () => fetched('/whoami'));
  await step('interception: rewritten', () => fetched('/rewritten'));
  await step('interception: method rewritten', () => fetched('/posted'));
  await step('interception: answered', () => fetched('/answered'));
  await step('interception: aborted', () => fetched('/aborted').catch((error) => error.message));
  await step('interception: rewritten elsewhere', async () => {
    // No answer of that site may be read by this one: to have gone is enough.
    const went = await page.evaluate(async () => (await fetch('/elsewhere', { mode: 'no-cors' })).type);
    return went;
  });
  await step('interception: navigation rewritten elsewhere', async () => {
    const response = await page.goto(`${site}/elsewhere`);
    return { status: response?.status(), text: await page.$eval('body', (body) => body.textContent) };
  });
  await step('interception: method out of scope', async () => {
    await page.goto(`${site}/second`);
    return fetched('/deleted');
  });
  await step('interception: off', async () => {
    await page.setRequestInterception(false);
    page.off('request', decide);
    return { seen, after: await fetched('/whoami') };
  });
}
