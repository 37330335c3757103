import { describe, expect, it } from "vitest";
import { LineReader, LineTooLongError } from "./line-reader.js";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("LineReader", () => {
  it("puts lines together from any pieces", () => {
    const reader = new LineReader(100);
    const found = ['{"a"', ':1}\n{"b":2', "}\n\nrest"].flatMap((piece) => [
      ...reader.push(bytes(piece)),
    ]);
    expect(found).toEqual(['{"a":1}', '{"b":2}', ""]);
    expect(reader.hasPartialLine).toBe(true);
  });

  it("keeps a character together that is cut in the middle", () => {
    const reader = new LineReader(100);
    const [first, second] = [bytes("ä\n").subarray(0, 1), bytes("ä\n").subarray(1)];
    expect([...reader.push(first), ...reader.push(second)]).toEqual(["ä"]);
  });

  it("refuses a line that is longer than allowed, ended or not", () => {
    expect(() => [...new LineReader(4).push(bytes("12345"))]).toThrow(LineTooLongError);
    expect(() => [...new LineReader(4).push(bytes("12345\n"))]).toThrow(LineTooLongError);
    const reader = new LineReader(4);
    expect([...reader.push(bytes("1234\n12"))]).toEqual(["1234"]);
    expect(() => [...reader.push(bytes("345"))]).toThrow("longer than 4 bytes");
  });

  it("refuses what is not UTF-8", () => {
    expect(() => [...new LineReader(10).push(Uint8Array.of(0xff, 0x0a))]).toThrow(TypeError);
  });
});
