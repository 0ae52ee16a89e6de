// Runs beside the service, twice: round 1 fills the catalogue, round 2, after a restart, finds all of it again.
import assert from "node:assert/strict";
import { test } from "node:test";

const url = process.env.CDAF_SMOKE_URL ?? "http://127.0.0.1:3000";
const id = (process.env.CDAF_SMOKE_ID ?? "local").toUpperCase().replace(/[^A-Z0-9]/g, "").slice(-20).padStart(3, "X");
const again = (process.env.CDAF_SMOKE_ROUND ?? "1") !== "1";
const editor = { name: id.toLowerCase().replace(/[^a-z]/g, "q"), password: "correct horse battery" };
const login = `Basic ${Buffer.from(`${editor.name}:${editor.password}`).toString("base64")}`;
const product = { sku: `TEA-${id}`, name: `Assam ${id}`, price_cents: 890, tags: ["tea", "black"] };

function send(path, body, headers = {}) {
  return fetch(url + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

test("it is ready, and its database is", async () => {
  const answer = await fetch(`${url}/healthz`);
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { status: "ok" });
});

test("an editor is enrolled once, the password hashed by native code", async () => {
  assert.equal((await send("/api/editors", editor)).status, again ? 409 : 201);
});

test("only editors add products, and each number once", async () => {
  assert.equal((await send("/api/products", product)).status, 401);
  const wrong = `Basic ${Buffer.from(`${editor.name}:wrong password`).toString("base64")}`;
  assert.equal((await send("/api/products", product, { Authorization: wrong })).status, 401);
  const answer = await send("/api/products", product, { Authorization: login });
  assert.equal(answer.status, again ? 409 : 201);
  if (!again) assert.equal(answer.headers.get("location"), `/api/products/${product.sku}`);
});

test("a product is found by its number and by its words", async () => {
  const one = await fetch(`${url}/api/products/${product.sku}`);
  assert.deepEqual(await one.json(), product);
  const found = await fetch(`${url}/api/products?search=${id.toLowerCase()}`);
  assert.deepEqual(await found.json(), [product]);
  assert.equal((await fetch(`${url}/api/products/NO-SUCH`)).status, 404);
});

test("what is no product is refused with reasons", async () => {
  const answer = await send("/api/products", { ...product, price_cents: -1 }, { Authorization: login });
  assert.equal(answer.status, 422);
  assert.equal((await answer.json()).error[0].path[0], "price_cents");
});

test("the page and its script are those of the build", async () => {
  const page = await fetch(`${url}/`);
  assert.match(await page.text(), /<script type="module" src="\/catalog.js">/);
  assert.match(page.headers.get("content-security-policy"), /default-src 'self'/);
  const script = await (await fetch(`${url}/catalog.js`)).text();
  assert.match(script, /Catalogue/);
  assert.ok(!script.includes("import "), "everything it needs is in it");
});
