// Runs the install scripts of packages in a laid-out tree, without network, and gathers what they changed in their own
// folders. Started as `node installer.js FOLDER OUT`; FOLDER holds jobs.json, OUT receives a folder and a list a job.
"use strict";
const { spawnSync } = require("child_process");
const crypto = require("crypto");
const fs = require("fs");
const path = require("path");

const [, , folder, out] = process.argv;
const jobs = JSON.parse(fs.readFileSync(path.join(folder, "jobs.json"), "utf8"));
const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
const npm = ["lib", "local/lib", "share"].map((each) => path.join(prefix, each, "node_modules/npm")).find(fs.existsSync);

function files(top, below = "") {
  const found = {};
  for (const each of fs.readdirSync(path.join(top, below), { withFileTypes: true })) {
    const name = path.posix.join(below, each.name);
    if (each.isDirectory() && each.name !== "node_modules") Object.assign(found, files(top, name));
    if (each.isFile()) {
      const place = path.join(top, name);
      const digest = crypto.createHash("sha256").update(fs.readFileSync(place)).digest("hex");
      found[name] = digest + (fs.statSync(place).mode & 0o111 ? "x" : "");
    }
  }
  return found;
}

function search(top) {
  const folders = [];
  for (let at = top; ; at = path.dirname(at)) {
    folders.push(path.join(at, "node_modules", ".bin"));
    if (at === path.dirname(at)) break;
  }
  if (npm) folders.push(path.join(npm, "node_modules/@npmcli/run-script/lib/node-gyp-bin"));
  return [...folders, path.dirname(process.execPath), process.env.PATH].join(":");
}

function variables(job, event, command) {
  const found = {
    ...process.env,
    PATH: search(job.folder),
    NODE: process.execPath,
    INIT_CWD: "/app",
    npm_node_execpath: process.execPath,
    npm_lifecycle_event: event,
    npm_lifecycle_script: command,
    npm_package_name: job.name,
    npm_package_version: job.version,
    npm_package_json: path.join(job.folder, "package.json"),
    npm_config_build_from_source: "true",
    npm_config_offline: "true",
    npm_config_user_agent: `npm/0.0.0 node/${process.version} linux ${process.arch}`,
  };
  if (npm) found.npm_config_node_gyp = path.join(npm, "node_modules/node-gyp/bin/node-gyp.js");
  if (fs.existsSync(path.join(prefix, "include/node/node.h"))) found.npm_config_nodedir = prefix;
  return found;
}

jobs.forEach((job, number) => {
  const before = files(job.folder);
  for (const [event, command] of job.scripts) {
    console.log(`> ${job.name}@${job.version} ${event}\n> ${command}`);
    const env = variables(job, event, command);
    const done = spawnSync("/bin/sh", ["-c", command], { cwd: job.folder, env, stdio: ["ignore", "inherit", "inherit"] });
    if (done.status !== 0) {
      console.log(`${job.name}@${job.version}: ${event} ended with ${done.status ?? done.signal ?? done.error}`);
      process.exit(1);
    }
  }
  const after = files(job.folder);
  const gone = Object.keys(before).filter((name) => !(name in after));
  for (const name of Object.keys(after).filter((each) => after[each] !== before[each])) {
    const place = path.join(out, String(number), name);
    fs.mkdirSync(path.dirname(place), { recursive: true });
    fs.copyFileSync(path.join(job.folder, name), place);
  }
  fs.mkdirSync(out, { recursive: true });
  fs.writeFileSync(path.join(out, `${number}.json`), JSON.stringify(gone));
});
