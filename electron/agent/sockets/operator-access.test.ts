import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { operatorAccess } from "./operator-access.js";

let folder: string;
let groups: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "torpor-access-"));
  groups = join(folder, "group");
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

it("takes the group torpor where there is one, else root", () => {
  writeFileSync(groups, "root:x:0:\ntorpor:x:990:anna\n");
  expect(operatorAccess({}, groups)).toEqual({ uid: 0, gid: 990 });
  writeFileSync(groups, "root:x:0:\n");
  expect(operatorAccess({}, groups)).toEqual({ uid: 0, gid: 0 });
});

it("takes what it is told", () => {
  writeFileSync(groups, "staff:x:50:\n");
  expect(
    operatorAccess({ TORPOR_OPERATOR_GROUP: "staff", TORPOR_OPERATOR_UID: "1000" }, groups),
  ).toEqual({ uid: 1000, gid: 50 });
  expect(operatorAccess({ TORPOR_OPERATOR_GROUP: "1234" }, groups)).toEqual({ uid: 0, gid: 1234 });
  expect(() => operatorAccess({ TORPOR_OPERATOR_GROUP: "nobody-here" }, groups)).toThrow(
    "there is no such group",
  );
  expect(() => operatorAccess({ TORPOR_OPERATOR_UID: "anna" }, groups)).toThrow(
    "must be a user's number",
  );
});
