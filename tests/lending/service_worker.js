importScripts('/x/js/service-import');
self.addEventListener('install', (event) => {
  self.skipWaiting();
  event.waitUntil(fetch('/x/txt/service-install'));
});
self.addEventListener('activate', (event) => {
  event.waitUntil(self.clients.claim().then(() => fetch('/x/txt/service-activate')));
});
self.addEventListener('fetch', (event) => {
  if (event.request.url.includes('through-service')) event.respondWith(fetch(event.request));
});
