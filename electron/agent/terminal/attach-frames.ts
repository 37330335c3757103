/**
 * The framing of a capsule's attach socket: one byte of type, four of length (little-endian), payload.
 */

export const MAX_FRAME_BYTES = 1024 * 1024;
const HEADER_BYTES = 5;

export interface Frame {
  readonly type: string;
  readonly payload: Buffer;
}

export function encodeFrame(type: "I" | "R" | "A" | "V", payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  frame.write(type, 0, "latin1");
  frame.writeUInt32LE(payload.length, 1);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** Columns and rows; 0 and 0 leave the size as it is. */
export function encodeSize(cols: number, rows: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt16LE(cols, 0);
  payload.writeUInt16LE(rows, 2);
  return payload;
}

/** Cuts a stream into frames. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** @throws when a frame promises more than is allowed: the other end is not what it should be. */
  *push(chunk: Buffer): Generator<Frame> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= HEADER_BYTES) {
      const head = this.#joined();
      const length = head.readUInt32LE(1);
      if (length > MAX_FRAME_BYTES) {
        throw new Error(`a frame of ${length} bytes is longer than ${MAX_FRAME_BYTES}`);
      }
      if (head.length < HEADER_BYTES + length) {
        return;
      }
      const rest = head.subarray(HEADER_BYTES + length);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#bytes = rest.length;
      yield {
        type: head.toString("latin1", 0, 1),
        payload: head.subarray(HEADER_BYTES, HEADER_BYTES + length),
      };
    }
  }

  #joined(): Buffer {
    const [first, ...others] = this.#chunks;
    if (first !== undefined && others.length === 0) {
      return first;
    }
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}
