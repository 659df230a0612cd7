// Puts cookies into the default context of a browser of one's own: what a
// person's browser looks like. Options: cookies (as in Playwright's addCookies).
import { chromium } from 'playwright-core';
import { commandLine, finish, need, step } from './report.mjs';

const { cdp, options } = commandLine();
const browser = await need('connect', () => chromium.connectOverCDP(cdp));
await step('seed', () => browser.contexts()[0].addCookies(options.cookies));
await step('disconnect', () => browser.close());
finish();
