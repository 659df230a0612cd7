// An agent works in a Django admin where what it changes waits for a person.
//
// Options: origin, ticket, summaries (two). Waits for the line `approved` on
// standard input before it sends again what it was told to.
import { chromium } from 'playwright-core';
import { commandLine, finish, need, step, waitFor } from './report.mjs';

const { cdp, options } = commandLine();
const { origin, ticket, summaries } = options;
const list = `${origin}/admin/tickets/ticket/`;

const browser = await need('connect', () => chromium.connectOverCDP(cdp));
const context = browser.contexts()[0];
context.setDefaultTimeout(15_000);
const page = await need('open page', async () => context.pages()[0] ?? context.newPage());
const raw = await need('raw session', () => context.newCDPSession(page));

await step('change list', async () => {
  const response = await page.goto(list);
  return { status: response?.status(), tickets: await page.locator('#result_list tbody tr').count() };
});
await step('explain', () =>
  raw.send('Hallpass.explain', { reason: 'the caller says that the reader works again' }));
await step('save', () => save(summaries[0]));
await step('save that is answered late', () => save(summaries[1]));
await waitFor('approved');
await step('save once more', () => save(summaries[1]));
await step('delete', () => visit(`${list}${ticket}/delete/`));
await step('log out', () => visit(`${origin}/admin/logout/`));
await step('change the password', () => visit(`${origin}/admin/password_change/`));
await step('change list again', async () => {
  const response = await page.goto(list);
  return { status: response?.status(), tickets: await page.locator('#result_list tbody tr').count() };
});
await step('disconnect', () => browser.close());
finish();

/** Changes the ticket's summary by the admin's form. */
async function save(summary) {
  await page.goto(`${list}${ticket}/change/`);
  await page.fill('#id_summary', summary);
  const [response] = await Promise.all([
    page.waitForResponse((answer) => answer.request().method() === 'POST'),
    page.click('input[name=_save]'),
  ]);
  await page.waitForLoadState();
  return { status: response.status(), text: await page.innerText('body') };
}

async function visit(url) {
  const response = await page.goto(url);
  return { status: response?.status(), text: await page.innerText('body') };
}
