/**
 * Where in a TOML text each key stands. The parser tells positions of syntax errors only; an admin who
 * wrote a wrong value wants to know the line as well.
 *
 * Works on text that the parser has accepted, so it only has to find statements, not to judge them.
 */

export interface Position {
  readonly line: number;
  readonly column: number;
}

export class KeyPositions {
  readonly #positions = new Map<string, Position>();

  constructor(text: string) {
    this.#scan(text);
  }

  /** Of the key itself or, inside arrays and inline tables, of the nearest key around it. */
  find(path: readonly PropertyKey[]): Position | null {
    for (let length = path.length; length > 0; length--) {
      const position = this.#positions.get(pathKey(path.slice(0, length)));
      if (position !== undefined) {
        return position;
      }
    }
    return null;
  }

  #scan(text: string): void {
    const cursor = new Cursor(text);
    let table: string[] = [];
    for (;;) {
      cursor.skipBlank();
      if (cursor.atEnd) {
        return;
      }
      const position = cursor.position;
      if (cursor.peek() === "[") {
        table = cursor.readHeader();
        this.#remember(table, position);
      } else {
        this.#remember([...table, ...cursor.readKey()], position);
        cursor.skipValue();
      }
    }
  }

  #remember(path: readonly string[], position: Position): void {
    for (let length = 1; length <= path.length; length++) {
      const key = pathKey(path.slice(0, length));
      // A table may be named by a key in it before it has a header of its own.
      if (!this.#positions.has(key) || length === path.length) {
        this.#positions.set(key, position);
      }
    }
  }
}

function pathKey(path: readonly PropertyKey[]): string {
  return JSON.stringify(path.map(String));
}

class Cursor {
  readonly #text: string;
  #offset = 0;
  #line = 1;
  #lineStart = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    return this.#offset >= this.#text.length;
  }

  get position(): Position {
    return { line: this.#line, column: this.#offset - this.#lineStart + 1 };
  }

  peek(): string {
    return this.#text.charAt(this.#offset);
  }

  #advance(count = 1): void {
    for (let i = 0; i < count && !this.atEnd; i++) {
      if (this.peek() === "\n") {
        this.#line += 1;
        this.#lineStart = this.#offset + 1;
      }
      this.#offset += 1;
    }
  }

  /** Spaces, line ends and comments. */
  skipBlank(): void {
    while (!this.atEnd) {
      const char = this.peek();
      if (char === "#") {
        this.#skipComment();
      } else if (
        char === " " ||
        char === "\t" ||
        char === "\r" ||
        char === "\n" ||
        char === "\uFEFF"
      ) {
        this.#advance();
      } else {
        return;
      }
    }
  }

  /** `[a.b]` or `[[a.b]]`. */
  readHeader(): string[] {
    while (this.peek() === "[") {
      this.#advance();
    }
    const path = this.readKey();
    while (this.peek() === "]") {
      this.#advance();
    }
    return path;
  }

  /** A dotted key, up to and with its `=`, or up to a header's `]`. */
  readKey(): string[] {
    const path: string[] = [];
    let bare = "";
    for (;;) {
      const char = this.peek();
      if (char === '"' || char === "'") {
        const start = this.#offset;
        this.#skipString();
        path.push(unquote(this.#text.slice(start, this.#offset)));
      } else if (char === "" || char === "." || char === "=" || char === "]") {
        if (bare !== "") {
          path.push(bare);
          bare = "";
        }
        if (char !== ".") {
          if (char === "=") {
            this.#advance();
          }
          return path;
        }
        this.#advance();
      } else {
        if (char.trim() !== "") {
          bare += char;
        }
        this.#advance();
      }
    }
  }

  /** Up to the end of the statement: a line end outside strings and brackets. */
  skipValue(): void {
    let depth = 0;
    while (!this.atEnd) {
      const char = this.peek();
      if (char === '"' || char === "'") {
        this.#skipString();
      } else if (char === "#") {
        this.#skipComment();
      } else {
        if (char === "\n" && depth === 0) {
          return;
        }
        if (char === "[" || char === "{") {
          depth += 1;
        } else if (char === "]" || char === "}") {
          depth -= 1;
        }
        this.#advance();
      }
    }
  }

  #skipComment(): void {
    while (!this.atEnd && this.peek() !== "\n") {
      this.#advance();
    }
  }

  #skipString(): void {
    const quote = this.peek();
    const escapes = quote === '"';
    const tripled = this.#text.startsWith(quote.repeat(3), this.#offset);
    const end = tripled ? quote.repeat(3) : quote;
    this.#advance(end.length);
    while (!this.atEnd && !this.#text.startsWith(end, this.#offset)) {
      this.#advance(escapes && this.peek() === "\\" ? 2 : 1);
    }
    this.#advance(end.length);
    // A multi-line string may end in quotes of its own, before the three that close it.
    while (tripled && this.peek() === quote) {
      this.#advance();
    }
  }
}

function unquote(text: string): string {
  if (text.startsWith("'")) {
    return text.slice(1, -1);
  }
  try {
    return String(JSON.parse(text));
  } catch {
    // TOML has escapes that JSON doesn't; such a key is merely not found by its position.
    return text.slice(1, -1);
  }
}
