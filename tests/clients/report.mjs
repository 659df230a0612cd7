// What every script here shares: arguments in, one JSON line per step out.
//
//   node SCRIPT CDP_URL '{"site": "http://…", …}'
//
// Lines on standard input are signals from whoever runs the script.
import { createInterface } from 'node:readline';

/** Longest time for one step, in milliseconds. */
const STEP_LIMIT = 20_000;

/**
 * The CDP endpoint and the options of the command line.
 * @returns {{cdp: string, options: Record<string, any>}}
 */
export function commandLine() {
  const [cdp, json = '{}'] = process.argv.slice(2);
  if (!cdp) {
    console.error('usage: node SCRIPT CDP_URL [OPTIONS_AS_JSON]');
    process.exit(2);
  }
  return { cdp, options: JSON.parse(json) };
}

/**
 * Does one step and reports it; an error is an outcome, not an end.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} action
 * @returns {Promise<T | undefined>}
 */
export async function step(name, action) {
  try {
    const outcome = await within(STEP_LIMIT, action());
    print({ name, ok: true, outcome: outcome ?? null });
    return outcome;
  } catch (error) {
    print({ name, ok: false, error: String(error?.message ?? error) });
    return undefined;
  }
}

/**
 * A step whose result the script itself needs: without it, the script ends.
 * What it returns is a client's object and is not reported.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} action
 * @returns {Promise<T>}
 */
export async function need(name, action) {
  let result;
  let done = false;
  await step(name, async () => {
    result = await action();
    done = true;
  });
  if (!done) process.exit(1);
  return /** @type {T} */ (result);
}

/**
 * Ends the script; a client's open connection would keep it running.
 * @returns {never}
 */
export function finish() {
  print({ name: 'finish', ok: true, outcome: null });
  process.exit(0);
}

/**
 * Waits for a line on standard input that says `signal`.
 * @param {string} signal
 */
export async function waitFor(signal) {
  print({ name: `waiting for ${signal}`, ok: true, outcome: null });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === signal) return;
  }
  throw new Error(`standard input ended before \`${signal}\` came`);
}

/**
 * The value an event delivers, or an error that names it.
 * @template T
 * @param {number} limit milliseconds
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export function within(limit, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came within ${limit} ms`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/**
 * Whether the bytes are a PNG, and how large the picture is.
 * @param {Uint8Array} bytes
 */
export function describePng(bytes) {
  const data = Buffer.from(bytes);
  const png = data.subarray(0, 8).equals(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'));
  return png ? { png, width: data.readUInt32BE(16), height: data.readUInt32BE(20) } : { png };
}

/**
 * Whether the bytes are a PDF document.
 * @param {Uint8Array} bytes
 */
export function describePdf(bytes) {
  const data = Buffer.from(bytes);
  return { pdf: data.subarray(0, 4).toString('latin1') === '%PDF', bytes: data.length };
}

/** @param {Record<string, unknown>} line */
function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
