/**
 * Cuts a byte stream into lines of bounded length. Used on both ends of the socket and on the helper's
 * output: none of them may make us hold more than we agreed to.
 */

export class LineTooLongError extends Error {
  readonly limitBytes: number;

  constructor(limitBytes: number) {
    super(`a line is longer than ${limitBytes} bytes`);
    this.name = "LineTooLongError";
    this.limitBytes = limitBytes;
  }
}

const NEWLINE = 0x0a;

export class LineReader {
  #chunks: Uint8Array[] = [];
  #pendingBytes = 0;
  readonly #limitBytes: number;
  // Fatal: a foreign protocol's bytes must not turn into replacement characters and pass as text.
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** True while a line has begun and not ended. */
  get hasPartialLine(): boolean {
    return this.#pendingBytes > 0;
  }

  /**
   * The lines that `chunk` completes, without their newline.
   * @throws LineTooLongError when a line passes the limit; the reader can't be used after that.
   * @throws TypeError when a line is not UTF-8.
   */
  *push(chunk: Uint8Array): Generator<string> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      if (end === -1) {
        break;
      }
      const piece = chunk.subarray(start, end);
      start = end + 1;
      if (this.#pendingBytes + piece.length > this.#limitBytes) {
        throw new LineTooLongError(this.#limitBytes);
      }
      yield this.#complete(piece);
    }
    if (start < chunk.length) {
      const rest = chunk.subarray(start);
      this.#pendingBytes += rest.length;
      if (this.#pendingBytes > this.#limitBytes) {
        throw new LineTooLongError(this.#limitBytes);
      }
      this.#chunks.push(rest);
    }
  }

  #complete(last: Uint8Array): string {
    if (this.#pendingBytes === 0) {
      return this.#decoder.decode(last);
    }
    const line = new Uint8Array(this.#pendingBytes + last.length);
    let offset = 0;
    for (const piece of this.#chunks) {
      line.set(piece, offset);
      offset += piece.length;
    }
    line.set(last, offset);
    this.#chunks = [];
    this.#pendingBytes = 0;
    return this.#decoder.decode(line);
  }
}
