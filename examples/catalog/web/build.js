// Makes public/: one script and one page, from what only a developer needs.
import { copyFile, mkdir } from "node:fs/promises";
import { build } from "esbuild";

await mkdir("public", { recursive: true });
await build({
  entryPoints: ["web/catalog.jsx"],
  outfile: "public/catalog.js",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsxFactory: "h",
});
await copyFile("web/index.html", "public/index.html");
