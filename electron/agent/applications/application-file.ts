/**
 * Reads one file of apps.d: TOML text in, a validated configuration or a problem with its place out.
 */
import { parse, TomlError } from "smol-toml";
import {
  applicationConfigSchema,
  knownKeysOfTable,
  type ApplicationConfig,
  type ConfigProblem,
  type z,
} from "../../contract/index.js";
import { KeyPositions } from "./key-positions.js";
import { nearestKey } from "./nearest-key.js";

export type ApplicationFileResult = TomlResult<ApplicationConfig>;

export function readApplicationText(file: string, text: string): ApplicationFileResult {
  return readTomlText(file, text, applicationConfigSchema, knownKeysOfTable);
}

export type TomlResult<T> =
  | { readonly ok: true; readonly config: T }
  | { readonly ok: false; readonly problem: ConfigProblem };

/** @param knownKeys of each table, for what somebody who misspelt one may have meant */
export function readTomlText<T>(
  file: string,
  text: string,
  schema: z.ZodType<T>,
  knownKeys: Readonly<Record<string, readonly string[]>>,
): TomlResult<T> {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    return { ok: false, problem: syntaxProblem(file, error) };
  }
  const parsed = schema.safeParse(document);
  if (parsed.success) {
    return { ok: true, config: parsed.data };
  }
  const positions = new KeyPositions(text);
  // A key that is misspelt or unknown often makes another one missing: it is the place to look at.
  const unknownFirst = [...parsed.error.issues].sort(
    (a, b) => Number(b.code === "unrecognized_keys") - Number(a.code === "unrecognized_keys"),
  );
  const problems = (
    unknownFirst[0]?.code === "unrecognized_keys"
      ? unknownFirst.filter(({ code }) => code === "unrecognized_keys")
      : unknownFirst
  )
    .flatMap((issue) => describeIssue(issue, document, knownKeys))
    .map(({ path, message }): ConfigProblem => {
      const position = positions.find(path);
      return {
        file,
        line: position?.line ?? null,
        column: position?.column ?? null,
        key: path.length === 0 ? null : path.map(String).join("."),
        message,
      };
    })
    .sort((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity));
  return { ok: false, problem: problems[0] ?? fileProblem(file, "is not a valid configuration") };
}

export function fileProblem(file: string, message: string): ConfigProblem {
  return { file, line: null, column: null, key: null, message };
}

/** "ward-board.toml, line 3, key command: must be …" */
export function formatProblem(problem: ConfigProblem): string {
  const place = [
    problem.file,
    problem.line === null ? null : `line ${problem.line}`,
    problem.key === null ? null : `key "${problem.key}"`,
  ].filter((part) => part !== null);
  return `${place.join(", ")}: ${problem.message}`;
}

function syntaxProblem(file: string, error: unknown): ConfigProblem {
  if (error instanceof TomlError) {
    // The parser appends an excerpt of the file to its message; the first line is the message.
    const message = (error.message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
    return {
      file,
      line: error.line,
      column: error.column,
      key: null,
      message: `is not valid TOML: ${message}`,
    };
  }
  return fileProblem(
    file,
    `can't be parsed: ${error instanceof Error ? error.message : String(error)}`,
  );
}

interface Described {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

function describeIssue(
  issue: z.core.$ZodIssue,
  document: unknown,
  knownKeys: Readonly<Record<string, readonly string[]>>,
): Described[] {
  switch (issue.code) {
    case "unrecognized_keys": {
      const table = issue.path
        .map(String)
        .join(".")
        .replace(/^health\.probe\.[^.]+$/, "health.probe.*");
      const known = knownKeys[table] ?? [];
      return issue.keys.map((key) => ({
        path: [...issue.path, key],
        message:
          table === "capture" && key === "keep"
            ? 'is now policy = "keep" or "replace" in [keep]'
            : `is not a known key${hint(key, known)}`,
      }));
    }
    case "invalid_type": {
      const value = valueAt(document, issue.path);
      return [
        {
          path: issue.path,
          message:
            value === undefined
              ? missing(issue.path)
              : `must be ${article(issue.expected, issue.path)}, not ${kindOf(value)}`,
        },
      ];
    }
    case "invalid_value": {
      const values = issue.values.map((value) => JSON.stringify(value)).join(", ");
      const value = valueAt(document, issue.path);
      return [{ path: issue.path, message: `must be one of ${values}, not ${shown(value)}` }];
    }
    case "invalid_key":
      return [{ path: issue.path, message: issue.issues[0]?.message ?? "is not a valid key" }];
    default:
      return [{ path: issue.path, message: issue.message }];
  }
}

function hint(key: string, known: readonly string[]): string {
  const near = nearestKey(key, known);
  if (near !== null) {
    return `; did you mean "${near}"?`;
  }
  return known.length === 0 ? "" : `; known here: ${known.join(", ")}`;
}

function missing(path: readonly PropertyKey[]): string {
  return path.length === 1 && path[0] === "command"
    ? 'is missing: give the program and its arguments, such as command = ["/usr/bin/top", "-d", "5"]'
    : "is missing";
}

function valueAt(document: unknown, path: readonly PropertyKey[]): unknown {
  let value = document;
  for (const key of path) {
    if (typeof value !== "object" || value === null) {
      return undefined;
    }
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

function article(expected: string, path: readonly PropertyKey[]): string {
  const names: Record<string, string> = {
    string: "a string",
    boolean: "true or false",
    number: "a number",
    int: "a whole number",
    array: path.at(-1) === "command" ? 'an array such as ["program", "argument"]' : "an array",
    object: "a table",
    record: "a table",
  };
  return names[expected] ?? expected;
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) {
    return "an array";
  }
  if (value instanceof Date) {
    return "a date";
  }
  switch (typeof value) {
    case "string":
      return `the string ${shown(value)}`;
    case "number":
    case "bigint":
      return `the number ${String(value)}`;
    case "boolean":
      return String(value);
    default:
      return "a table";
  }
}

function shown(value: unknown): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
