// The traps of the README's table, for Node: each would fail here if the driver had lost it.
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import postgres from "postgres";
import { withDatabase } from "./documents.mjs";

const CREATE = "SELECT foreman.create_job('mail', $1) AS reply";

async function withClient(test) {
  await withDatabase(async ({ name, admin }) => {
    const client = new pg.Client({ user: "app", database: name });
    await client.connect();
    try {
      await test(client, admin);
    } finally {
      await client.end();
    }
  });
}

async function payloads(admin) {
  return (await admin.query("SELECT payload FROM foreman.jobs ORDER BY job_id")).rows.map((row) => row.payload);
}

for (const payload of [[1, 2], "text"]) {
  test(`node-postgres: ${JSON.stringify(payload)} fails as it is and goes through as JSON`, () =>
    withClient(async (client, admin) => {
      await assert.rejects(client.query(CREATE, [payload]), { code: "22P02" });
      const { rows } = await client.query(CREATE, [JSON.stringify(payload)]);
      assert.equal(rows[0].reply.status, "success");
      assert.deepEqual(await payloads(admin), [payload]);
    }));
}

test("node-postgres: the reply is an object and the id a number", () =>
  withClient(async (client) => {
    const { rows } = await client.query(CREATE, ["{}"]);
    assert.deepEqual(rows[0].reply, { job_id: 1, status: "success", created: true });
  }));

test("node-postgres: a job created in a transaction says so", () =>
  withClient(async (client, admin) => {
    await client.query("BEGIN");
    const { rows } = await client.query(CREATE, ["{}"]);
    assert.equal(rows[0].reply.in_transaction, true);
    await client.query("ROLLBACK");
    assert.deepEqual(await payloads(admin), []);
  }));

test("postgres.js: JSON.stringify encodes twice, and the reply warns", () =>
  withDatabase(async ({ name, admin }) => {
    const sql = postgres({ host: process.env.PGHOST, user: "app", database: name });
    try {
      const payload = { to: "ann@example.org" };
      const [twice] = await sql`SELECT foreman.create_job('mail', ${JSON.stringify(payload)}::jsonb) AS reply`;
      assert.equal(twice.reply.status, "success");
      assert.match(twice.reply.warning, /encoded twice/);
      const [once] = await sql`SELECT foreman.create_job('mail', ${payload}::jsonb) AS reply`;
      assert.equal(once.reply.warning, undefined);
      assert.deepEqual(await payloads(admin), [JSON.stringify(payload), payload]);
    } finally {
      await sql.end();
    }
  }));
