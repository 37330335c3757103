import { expect, it } from "vitest";
import { encodeFrame, encodeSize, FrameReader } from "./attach-frames.js";

it("reads frames from any pieces", () => {
  const stream = Buffer.concat([
    encodeFrame("A", encodeSize(80, 24)),
    encodeFrame("I", Buffer.from("héllo")),
    encodeFrame("V", Buffer.alloc(0)),
  ]);
  for (const step of [1, 3, 7, stream.length]) {
    const reader = new FrameReader();
    const frames: string[] = [];
    for (let at = 0; at < stream.length; at += step) {
      for (const { type, payload } of reader.push(stream.subarray(at, at + step))) {
        frames.push(`${type}:${payload.toString("hex")}`);
      }
    }
    expect(frames).toEqual(["A:50001800", `I:${Buffer.from("héllo").toString("hex")}`, "V:"]);
  }
});

it("refuses a frame that is longer than allowed before it is there", () => {
  const head = Buffer.alloc(5);
  head.write("O", 0, "latin1");
  head.writeUInt32LE(0xffffffff, 1);
  expect(() => [...new FrameReader().push(head)]).toThrow("longer than");
});
