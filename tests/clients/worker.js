// Answers two paths by itself, with what the site says about the visitor.
self.oninstall = () => self.skipWaiting();
self.onactivate = (event) => event.waitUntil(self.clients.claim());
self.onfetch = (event) => {
  const { pathname } = new URL(event.request.url);
  if (pathname !== '/from-worker' && pathname !== '/made-by-worker') return;
  event.respondWith((async () => {
    const who = await (await fetch('/whoami')).text();
    if (pathname === '/from-worker') return new Response(`worker of ${who}`);
    const headers = { 'content-type': 'text/html' };
    return new Response(`<title>Worker</title><h1>made for ${who}</h1>`, { headers });
  })());
};
