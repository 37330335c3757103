import { expect, it } from "vitest";
import { ImageLocks } from "./image-locks.js";

const id = "a".repeat(32);

it("allows many readers or one writer", () => {
  const locks = new ImageLocks();
  const first = locks.acquire(id, "read", "it is being verified");
  const second = locks.acquire(id, "read", "it is being restored");
  expect(() => locks.acquire(id, "write", "it is being moved")).toThrow(
    "Image aaaaaaaa is in use: it is being restored.",
  );
  first();
  first();
  expect(locks.isUsed(id)).toBe(true);
  second();
  const writer = locks.acquire(id, "write", "it is being moved");
  expect(() => locks.acquire(id, "read", "it is being verified")).toThrow("it is being moved");
  writer();
  expect(locks.isUsed(id)).toBe(false);
});
