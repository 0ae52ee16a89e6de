import { fileURLToPath } from "node:url";
import compression from "compression";
import express from "express";
import helmet from "helmet";
import { pinoHttp } from "pino-http";
import { z } from "zod";
import { pool } from "./database.js";
import { enrol, isEditor } from "./editors.js";
import { Product, add, find, list } from "./products.js";

const Query = z.object({
  search: z.string().max(100).optional(),
  limit: z.coerce.number().int().min(1).max(100).default(50),
});
const Editor = z.object({ name: z.string().regex(/^[a-z]{2,20}$/), password: z.string().min(8).max(200) });

/** Refuse whoever is not an editor. */
async function editorsOnly(request, response, next) {
  if (await isEditor(request.headers.authorization)) return next();
  return response.set("WWW-Authenticate", "Basic realm=catalog").status(401).json({ error: "editors only" });
}

/** The service as an Express application. */
export function application(log) {
  const app = express();
  app.disable("x-powered-by");
  app.use(pinoHttp({ logger: log, autoLogging: { ignore: (request) => request.url === "/healthz" } }));
  app.use(helmet());
  app.use(compression());
  app.use(express.json({ limit: "64kb" }));
  app.use(express.static(fileURLToPath(new URL("../public/", import.meta.url))));

  app.get("/healthz", async (_request, response) => {
    await pool.query("SELECT 1");
    response.json({ status: "ok" });
  });
  app.get("/api/products", async (request, response) => {
    response.json(await list(Query.parse(request.query)));
  });
  app.get("/api/products/:sku", async (request, response) => {
    const product = await find(request.params.sku);
    if (!product) return response.status(404).json({ error: "no such product" });
    return response.json(product);
  });
  app.post("/api/products", editorsOnly, async (request, response) => {
    const product = await add(Product.parse(request.body));
    if (!product) return response.status(409).json({ error: "this number is taken" });
    return response.status(201).location(`/api/products/${product.sku}`).json(product);
  });
  app.post("/api/editors", async (request, response) => {
    const { name, password } = Editor.parse(request.body);
    response.sendStatus((await enrol(name, password)) ? 201 : 409);
  });

  app.use((error, request, response, _next) => {
    if (error instanceof z.ZodError) return response.status(422).json({ error: error.issues });
    if (error.status && error.status < 500) return response.status(error.status).json({ error: error.message });
    request.log.error(error);
    return response.status(500).json({ error: "internal error" });
  });
  return app;
}
