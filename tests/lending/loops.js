// In the page, its worker and its service worker: requests without a pause.
const loop = async (name) => {
  for (let n = 0; ; n += 1) {
    try {
      await fetch(`/x/slow/${name}?${n}`, { cache: 'no-store' });
    } catch {
      await new Promise((done) => setTimeout(done, 1));
    }
  }
};
const start = (name) => {
  for (let n = 0; n < 3; n += 1) loop(name);
};
if (self.ServiceWorkerGlobalScope && self instanceof ServiceWorkerGlobalScope) {
  self.addEventListener('install', () => self.skipWaiting());
  self.addEventListener('message', (event) => event.waitUntil(start('service') ?? new Promise(() => 0)));
} else if (self.DedicatedWorkerGlobalScope && self instanceof DedicatedWorkerGlobalScope) {
  start('worker');
} else {
  start('window');
}
