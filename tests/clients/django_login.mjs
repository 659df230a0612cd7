// A person signs in to the admin by its form. Options: origin, username,
// password. Reports the storage state that Playwright would save to a file.
import { chromium } from 'playwright-core';
import { commandLine, finish, need, step } from './report.mjs';

const { cdp, options } = commandLine();
const { origin, username, password } = options;
const browser = await need('connect', () => chromium.connectOverCDP(cdp));
const context = await need('context', () => browser.newContext());
await step('login', async () => {
  const page = await context.newPage();
  await page.goto(`${origin}/admin/`);
  await page.fill('#id_username', username);
  await page.fill('#id_password', password);
  await page.click('input[type=submit]');
  await page.waitForSelector('#user-tools');
  return page.textContent('#user-tools strong');
});
await step('storage state', () => context.storageState());
await step('disconnect', () => browser.close());
finish();
