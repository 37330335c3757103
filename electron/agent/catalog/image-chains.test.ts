import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { ImageRecord } from "../../contract/index.js";
import { AgentEvents } from "../agent-events.js";
import { inventImage } from "../policy/invented-images.js";
import { Catalog } from "./catalog.js";
import { basesOf, ChainWatch, chainFault, familyOf } from "./image-chains.js";

let folder: string;
let catalog: Catalog;
const events = new AgentEvents();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "torpor-chains-"));
  catalog = Catalog.open(join(folder, "catalog.sqlite"));
});

afterEach(() => {
  catalog.close();
  rmSync(folder, { recursive: true, force: true });
});

let age = 1000;
function put(parent: ImageRecord | null, change: Partial<ImageRecord> = {}): ImageRecord {
  const image = inventImage(0, --age, { parentId: parent?.id ?? null, ...change });
  catalog.images.put(image);
  return image;
}

const ids = (images: readonly ImageRecord[]): string[] => images.map(({ id }) => id);

it("finds what an image builds on, and all that belongs together", () => {
  const whole = put(null);
  const left = put(whole);
  const right = put(whole);
  const last = put(left);
  put(null);
  expect(ids(basesOf(catalog.images, last))).toEqual(ids([left, whole]));
  for (const each of [whole, left, right, last]) {
    const family = ids(familyOf(catalog.images, each));
    expect([...family].sort()).toEqual(ids([whole, left, right, last]).sort());
    expect(family[0]).toBe(whole.id);
    expect(family.at(-1)).toBe(last.id);
  }
});

it("says why a chain can't be used", () => {
  const short = ({ id }: ImageRecord): string => id.slice(0, 8);
  const missing = put(null, { state: "missing", path: "/store/gone" });
  expect(chainFault(catalog.images, put(put(missing)))).toBe(
    `builds on image ${short(missing)}, whose file /store/gone is not there`,
  );
  const damaged = put(null, { state: "damaged" });
  expect(chainFault(catalog.images, put(damaged))).toBe(
    `builds on image ${short(damaged)}, which is damaged`,
  );
  const elsewhere = put(null, { path: "/other/image" });
  expect(chainFault(catalog.images, put(elsewhere))).toBe(
    `builds on image ${short(elsewhere)}, which lies in another folder, /other`,
  );
  const never = inventImage(0, 1);
  expect(chainFault(catalog.images, put(never))).toBe(
    `builds on image ${short(never)}, which is in no store`,
  );
  const [one, other] = [inventImage(0, 1), inventImage(0, 1)];
  catalog.images.put({ ...one, parentId: other.id });
  catalog.images.put({ ...other, parentId: one.id });
  expect(chainFault(catalog.images, { ...one, parentId: other.id })).toBe(
    "builds on more images than there may be",
  );
  expect(chainFault(catalog.images, put(put(null)))).toBeNull();
});

it("marks what builds on an image that is gone, and takes the mark away again", async () => {
  new ChainWatch(catalog, events);
  const whole = put(null);
  const middle = put(whole);
  const last = put(middle);
  const become = async (change: Partial<ImageRecord>): Promise<(string | null)[][]> => {
    const image = { ...whole, ...change };
    catalog.images.put(image);
    events.emit("image.changed", { image });
    await new Promise(setImmediate);
    return [middle, last].map(({ id }) => {
      const now = catalog.images.get(id);
      return [now?.state ?? null, now?.stateReason ?? null];
    });
  };
  const fault = `builds on image ${whole.id.slice(0, 8)}, whose file ${whole.path} is not there`;
  expect(await become({ state: "missing" })).toEqual([
    ["incomplete", fault],
    ["incomplete", fault],
  ]);
  expect(await become({ state: "ok" })).toEqual([
    ["ok", null],
    ["ok", null],
  ]);
});
