// Keeps all files of this page for when there is no network, and asks the browser to isolate the page, without which
// WebAssembly gets no threads. The first line is filled in when the page is built.
const SITE = /*SITE*/ { version: "none", files: [] };
const CACHE = `cartoon-${SITE.version}`;
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SITE.files)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(removeOld().then(() => self.clients.claim()));
});

// Runtimes, of which each browser needs one, are kept when the page says which.
self.addEventListener("message", ({ data, ports }) => {
  keep(data.keep).then(() => ports[0].postMessage(true), () => ports[0].postMessage(false));
});

self.addEventListener("fetch", (event) => {
  const { request } = event, url = new URL(request.url);
  if (request.method === "GET" && url.origin === self.location.origin && !request.headers.has("range")) {
    event.respondWith(answer(request, url));
  }
});

async function removeOld() {
  const names = (await caches.keys()).filter((name) => name.startsWith("cartoon-") && name !== CACHE);
  await Promise.all(names.map((name) => caches.delete(name)));
}

async function keep(files) {
  const cache = await caches.open(CACHE);
  const missing = [];
  for (const file of files) if (!(await cache.match(file))) missing.push(file);
  await cache.addAll(missing);
}

async function answer(request, url) {
  const cache = await caches.open(CACHE);
  const found = (await cache.match(request, { ignoreSearch: true })) ?? (await fetch(request));
  if (found.type === "opaque" || found.status === 0 || found.redirected) return found;
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  return new Response(found.body, { status: found.status, statusText: found.statusText, headers });
}
