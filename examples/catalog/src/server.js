import { pino } from "pino";
import { application } from "./app.js";
import { pool } from "./database.js";

const log = pino({ level: process.env.LOG_LEVEL ?? "info" });
const port = Number(process.env.PORT ?? 3000);
const server = application(log).listen(port, "0.0.0.0", () => log.info({ port }, "listening"));

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    server.close(() => pool.end().then(() => process.exit(0)));
    server.closeIdleConnections();
  });
}
