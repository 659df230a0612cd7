// Puppeteer with a Hallpass session. Nothing here is special to Hallpass but
// the URL it connects to.
//
//   npm install --no-save puppeteer-core
//   node examples/puppeteer.mjs CDP_URL PAGE
//
// CDP_URL is what `hallpass session start` prints; HALLPASS_CDP_URL in the
// environment does as well and keeps it out of the shell's history.
import puppeteer from 'puppeteer-core';

const given = process.argv.slice(2);
const url = given.length > 1 ? given[0] : process.env.HALLPASS_CDP_URL;
const target = given.at(-1);
if (!url || !target) {
  console.error('usage: node examples/puppeteer.mjs [CDP_URL] PAGE');
  process.exit(2);
}

const browser = await puppeteer.connect({ browserWSEndpoint: url, defaultViewport: null });
const page = await browser.newPage();

const response = await page.goto(target);
console.log(`title: ${await page.title()} (${response?.status()})`);

// The site knows who it is; the agent never sees the cookie that says so.
const cookies = await browser.defaultBrowserContext().cookies();
console.log(`cookies the agent can read: ${cookies.length}`);

// Whatever was not lent is refused, with a page that says why.
const refused = await page.goto('https://not-lent.invalid/').catch((error) => error);
if (refused instanceof Error) console.log(`elsewhere: ${refused.message.split('\n', 1)[0]}`);
else console.log(`elsewhere: ${refused?.status()} ${await page.title()}`);

await page.close();
await browser.disconnect();
