/**
 * Schemas as people write types, for the documents that are generated from them.
 */
import type { z } from "./validation.js";

/** Shapes that the document describes once, by the names that it gives them. */
export type NamedRecords = readonly (readonly [string, z.ZodType])[];

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows]
    .map((row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`)
    .join("\n");
}

/** The table of a protocol's limits: each by its name in the source, with what it bounds. */
export function limitTable<Name extends string>(
  limits: Readonly<Record<Name, number>>,
  meanings: Readonly<Record<Name, string>>,
): string {
  return table(
    ["limit", "value", "what it bounds"],
    (Object.keys(meanings) as Name[]).map((name) => [
      `\`${name}\``,
      String(limits[name]),
      meanings[name],
    ]),
  );
}

/** What a method takes and gives, as two points of a list. */
export function takesAndGives(params: z.ZodType, result: z.ZodType, records: NamedRecords): string {
  return `- takes ${notation(params, records)}\n- gives ${notation(result, records)}`;
}

interface Definition {
  readonly type: string;
  readonly shape?: Record<string, z.ZodType>;
  readonly element?: z.ZodType;
  readonly innerType?: z.ZodType;
  readonly entries?: Record<string, string>;
  readonly values?: readonly unknown[];
  readonly options?: readonly z.ZodType[];
  readonly valueType?: z.ZodType;
  readonly in?: z.ZodType;
}

function definitionOf(schema: z.ZodType): Definition {
  return schema._zod.def;
}

/** A type as people write it, in code font. */
export function notation(schema: z.ZodType, records: NamedRecords): string {
  const { type, shape } = definitionOf(schema);
  if (type === "object" && shape !== undefined && Object.keys(shape).length === 0) {
    return "nothing";
  }
  return `\`${write(schema, records)}\``;
}

function write(schema: z.ZodType, records: NamedRecords): string {
  const named = records.find(([, each]) => each === schema);
  if (named !== undefined) {
    return named[0];
  }
  const definition = definitionOf(schema);
  switch (definition.type) {
    case "object":
      return `{ ${Object.entries(definition.shape ?? {})
        .map(([key, value]) => member(key, value, records))
        .join(", ")} }`;
    case "array":
      return arrayOf(write(inner(definition.element), records));
    case "record":
      return `{ [name]: ${write(inner(definition.valueType), records)} }`;
    case "optional":
    case "default":
    case "catch":
    case "prefault":
      return write(inner(definition.innerType), records);
    case "nullable":
      return `${write(inner(definition.innerType), records)} | null`;
    case "enum":
      return Object.values(definition.entries ?? {})
        .map((value) => JSON.stringify(value))
        .join(" | ");
    case "literal":
      return (definition.values ?? []).map((value) => JSON.stringify(value)).join(" | ");
    case "union":
      return (definition.options ?? []).map((option) => write(option, records)).join(" | ");
    case "pipe":
      return write(inner(definition.in), records);
    default:
      return definition.type;
  }
}

function arrayOf(element: string): string {
  return element.includes(" | ") ? `(${element})[]` : `${element}[]`;
}

function inner(schema: z.ZodType | undefined): z.ZodType {
  if (schema === undefined) {
    throw new Error("a schema without the part that its kind must have");
  }
  return schema;
}

function member(key: string, schema: z.ZodType, records: NamedRecords): string {
  const optional = definitionOf(schema).type === "optional";
  return `${key}${optional ? "?" : ""}: ${write(schema, records)}`;
}

/** A record's members, one a line. */
export function members(schema: z.ZodType, records: NamedRecords): string {
  const { shape } = definitionOf(schema);
  if (shape === undefined) {
    const { options, entries } = definitionOf(schema);
    return `\`${(options?.map((option) => write(option, records)) ?? Object.values(entries ?? {}).map((value) => JSON.stringify(value))).join(" | ")}\``;
  }
  return [
    "```",
    ...Object.entries(shape).map(([key, value]) => member(key, value, records)),
    "```",
  ].join("\n");
}
