import { expect, it } from "vitest";
import { basesOf, dependantsOf } from "./image-chain.js";

const image = (id: string, parentId: string | null = null) => ({ id, parentId });
const whole = image("a");
const middle = image("b", "a");
const newest = image("c", "b");
const byId = { a: whole, b: middle, c: newest, d: image("d") };

it("tells what an image builds on, and what builds on it", () => {
  expect(basesOf(newest, byId)).toEqual(["b", "a"]);
  expect(basesOf(whole, byId)).toEqual([]);
  expect(dependantsOf(whole, byId)).toEqual(["b"]);
  expect(dependantsOf(newest, byId)).toEqual([]);
});

it("names a base that is not there, and ends in a circle", () => {
  expect(basesOf(image("e", "gone"), byId)).toEqual(["gone"]);
  expect(basesOf(image("f", "g"), { g: image("g", "f"), f: image("f", "g") })).toEqual(["g", "f"]);
});
