import { hash, verify } from "@node-rs/argon2";
import { pool } from "./database.js";

/** Make somebody an editor; false when there is one of that name. */
export async function enrol(name, password) {
  const { rowCount } = await pool.query(
    "INSERT INTO editors (name, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    [name, await hash(password)],
  );
  return rowCount === 1;
}

/** Whether a request's Basic credentials are those of an editor. */
export async function isEditor(header = "") {
  const [kind, value] = header.split(" ");
  if (kind !== "Basic" || !value) return false;
  const text = Buffer.from(value, "base64").toString("utf8");
  const at = text.indexOf(":");
  const { rows } = await pool.query("SELECT secret FROM editors WHERE name = $1", [text.slice(0, at)]);
  return at > 0 && rows.length === 1 && verify(rows[0].secret, text.slice(at + 1));
}
