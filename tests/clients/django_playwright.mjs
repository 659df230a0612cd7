// An agent works in a Django admin with a lent session.
//
// Options: origin; mode, one of
//   "read"   opens the change list, looks for the cookie, is stopped
//            elsewhere (option `elsewhere`), then waits for the line `revoked`
//            on standard input and reloads the same page, which with the option
//            `leaves` is expected to have left for the login form by itself
//   "write"  saves a change (option `summary`) of one ticket (option `ticket`)
import { chromium } from 'playwright-core';
import { commandLine, finish, need, step, waitFor } from './report.mjs';
import { readCookies } from './cookies_playwright.mjs';

const { cdp, options } = commandLine();
const { origin, mode } = options;
const list = `${origin}/admin/tickets/ticket/`;

const browser = await need('connect', () => chromium.connectOverCDP(cdp));
const context = browser.contexts()[0];
context.setDefaultTimeout(10_000);
const page = await need('open page', async () => context.pages()[0] ?? context.newPage());

await step('change list', async () => {
  const response = await page.goto(list);
  return { status: response?.status(), ...(await who()) };
});
if (mode === 'write') await write();
else await read();
await step('disconnect', () => browser.close());
finish();

async function read() {
  await readCookies({ browser, context, page, site: origin });
  await step('elsewhere: fetch', () =>
    page.evaluate(
      async (url) => (await fetch(url, { mode: 'no-cors' })).type,
      `${options.elsewhere}/fetched`,
    ));
  await step('elsewhere: navigate', async () => {
    const response = await page.goto(`${options.elsewhere}/page`);
    return { status: response?.status(), text: await page.innerText('body') };
  });
  await step('change list again', async () => {
    const response = await page.goto(list);
    return { status: response?.status(), ...(await who()) };
  });
  await waitFor('revoked');
  // The page leaves by itself; a reload before it has would be cut short by that.
  if (options.leaves) await step('left', () => page.waitForSelector('form#login-form'));
  await step('after revocation', async () => {
    const response = await page.reload();
    return { status: response?.status(), url: page.url(), ...(await who()) };
  });
}

async function write() {
  await step('open ticket', async () => {
    const response = await page.goto(`${list}${options.ticket}/change/`);
    return { status: response?.status(), summary: await page.inputValue('#id_summary') };
  });
  await step('save', async () => {
    await page.fill('#id_summary', options.summary);
    const [response] = await Promise.all([
      page.waitForResponse((answer) => answer.request().method() === 'POST'),
      page.click('input[name=_save]'),
    ]);
    await page.waitForLoadState();
    return { status: response.status(), text: await page.innerText('body') };
  });
}

/** Whom the page greets, and whether it is the login form. */
async function who() {
  const greeted = page.locator('#user-tools strong');
  return {
    title: await page.title(),
    user: (await greeted.count()) > 0 ? await greeted.first().textContent() : null,
    loginForm: (await page.locator('form#login-form').count()) > 0,
    tickets: await page.locator('#result_list tbody tr').count(),
  };
}
