// The README's lines for Node run as they stand there, and do what they say.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { block, printed, withDatabase } from "./documents.mjs";

test("the lines for node-postgres create a job", () =>
  withDatabase(async ({ admin, environment }) => {
    const code = block("README.md", "node");
    const program = join(import.meta.dirname, "readme.mjs");
    writeFileSync(program, code);
    const { stdout } = await promisify(execFile)(process.execPath, [program], { env: environment });
    assert.deepEqual(stdout.trim().split("\n"), printed(code));
    const { rows } = await admin.query("SELECT payload FROM foreman.jobs");
    assert.deepEqual(rows, [{ payload: { to: "ann@example.org" } }]);
  }));
