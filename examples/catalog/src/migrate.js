// Brings the database to the newest state: every file of migrations/ that it has not seen, in order of name.
import { readFile, readdir } from "node:fs/promises";
import { pool, transaction } from "./database.js";

const folder = new URL("../migrations/", import.meta.url);

await transaction(async (client) => {
  await client.query("SELECT pg_advisory_xact_lock(4711)");
  await client.query("CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY)");
  const { rows } = await client.query("SELECT name FROM migrations");
  const seen = new Set(rows.map((row) => row.name));
  for (const name of (await readdir(folder)).filter((each) => each.endsWith(".sql")).sort()) {
    if (seen.has(name)) continue;
    await client.query(await readFile(new URL(name, folder), "utf8"));
    await client.query("INSERT INTO migrations (name) VALUES ($1)", [name]);
    console.log(`applied ${name}`);
  }
});
await pool.end();
