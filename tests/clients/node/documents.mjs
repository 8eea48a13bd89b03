// The blocks of the documents by their names, as documents.py has them, and a session in a database of a test's own.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";

export function block(page, name) {
  const text = readFileSync(join(process.env.FOREMAN_ROOT, page), "utf8");
  const start = text.indexOf(`<!-- test: ${name} -->\n\`\`\``);
  if (start < 0) throw new Error(`${page} has no block ${name}`);
  const code = text.indexOf("\n", text.indexOf("```", start)) + 1;
  return text.slice(code, text.indexOf("\n```", code) + 1);
}

// What a program says it prints: the comment behind each line that prints.
export function printed(code) {
  return code.split("\n").filter((line) => line.includes("console.log")).map((line) => line.split(" // ")[1]);
}

let number = 0;

// A database with the extension and a role of an application, for one test.
export async function withDatabase(test) {
  const name = `node_${process.pid}_${number++}`;
  const admin = new pg.Client({ user: "postgres", database: "postgres" });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  const inside = new pg.Client({ user: "postgres", database: name });
  await inside.connect();
  try {
    await inside.query("CREATE EXTENSION pg_foreman");
    await inside.query(`DO $$ BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN CREATE ROLE app LOGIN; END IF; END $$`);
    await inside.query("SELECT foreman.check(foreman.grant_access('app', 'worker'))");
    await test({ name, admin: inside, environment: { ...process.env, PGDATABASE: name, PGUSER: "app" } });
  } finally {
    await inside.end();
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  }
}
