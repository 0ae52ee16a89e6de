import { z } from "zod";
import { pool } from "./database.js";

export const Product = z.object({
  sku: z.string().regex(/^[A-Z0-9-]{3,32}$/),
  name: z.string().min(1).max(200),
  price_cents: z.number().int().min(0),
  tags: z.array(z.string().min(1).max(40)).max(20).default([]),
});

const COLUMNS = "sku, name, price_cents, tags";

/** Products by name, all or those whose name has the words. */
export async function list({ search, limit }) {
  const where = search ? "WHERE words @@ plainto_tsquery('simple', $2)" : "";
  const { rows } = await pool.query(
    `SELECT ${COLUMNS} FROM products ${where} ORDER BY name, sku LIMIT $1`,
    search ? [limit, search] : [limit],
  );
  return rows;
}

/** One product, or nothing. */
export async function find(sku) {
  const { rows } = await pool.query(`SELECT ${COLUMNS} FROM products WHERE sku = $1`, [sku]);
  return rows[0];
}

/** Add a product; nothing when its number is taken. */
export async function add({ sku, name, price_cents, tags }) {
  const { rows } = await pool.query(
    `INSERT INTO products (sku, name, price_cents, tags) VALUES ($1, $2, $3, $4)
     ON CONFLICT (sku) DO NOTHING RETURNING ${COLUMNS}`,
    [sku, name, price_cents, tags],
  );
  return rows[0];
}
