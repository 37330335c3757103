/**
 * Where a command's words go: text for people (with colours and a progress line only on a terminal), or
 * JSON for scripts. Results go to standard output, everything else to standard error.
 */

export interface Stream {
  write(text: string): boolean;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Style = keyof typeof codes;

export class Output {
  readonly json: boolean;
  readonly #out: Stream;
  readonly #error: Stream;
  readonly #colours: boolean;
  readonly #errorColours: boolean;
  #progressShown = false;

  constructor(options: {
    json: boolean;
    out: Stream;
    error: Stream;
    environment: NodeJS.ProcessEnv;
  }) {
    this.json = options.json;
    this.#out = options.out;
    this.#error = options.error;
    const allowed =
      (options.environment.NO_COLOR ?? "") === "" && options.environment.TERM !== "dumb";
    this.#colours = allowed && options.out.isTTY === true;
    this.#errorColours = allowed && options.error.isTTY === true;
  }

  /** Columns of the terminal that results go to; null where they go somewhere else. */
  get width(): number | null {
    return this.#out.isTTY === true ? (this.#out.columns ?? 80) : null;
  }

  /** A line for people; nothing with --json. */
  line(text = ""): void {
    if (!this.json) {
      this.clearProgress();
      this.#out.write(`${text}\n`);
    }
  }

  /** The result for scripts; nothing without --json. */
  data(value: unknown): void {
    if (this.json) {
      this.#out.write(`${JSON.stringify(value)}\n`);
    }
  }

  /** To standard output as it is, in either mode. */
  raw(text: string): void {
    this.#out.write(text);
  }

  warn(text: string): void {
    this.clearProgress();
    this.#error.write(`${text}\n`);
  }

  /** Overwrites the line before; only where somebody watches. */
  progress(text: string): void {
    if (this.#error.isTTY !== true || this.json) {
      return;
    }
    const width = Math.max(20, (this.#error.columns ?? 80) - 1);
    this.#progressShown = true;
    this.#error.write(`\r\x1b[K${text.slice(0, width)}`);
  }

  clearProgress(): void {
    if (this.#progressShown) {
      this.#progressShown = false;
      this.#error.write("\r\x1b[K");
    }
  }

  style(style: Style, text: string): string {
    return this.#colours ? paint(style, text) : text;
  }

  styleError(style: Style, text: string): string {
    return this.#errorColours ? paint(style, text) : text;
  }
}

function paint(style: Style, text: string): string {
  return `\x1b[${codes[style]}m${text}\x1b[0m`;
}
