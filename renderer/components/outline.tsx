// Any value as an outline that opens level by level: for what the helper says in words of its own.
import type { ReactElement } from "react";

type Branch = Record<string, unknown> | unknown[];

export function Outline({
  value,
  openLevels,
}: {
  readonly value: unknown;
  /** How many levels are open at first. */
  readonly openLevels: number;
}): ReactElement {
  if (!isBranch(value)) return <span className="outline-value">{leafInWords(value)}</span>;
  return (
    <ul className="outline mono">
      {Object.entries(value).map(([key, child]) => (
        <li key={key}>
          {isBranch(child) ? (
            <details open={openLevels > 0}>
              <summary>
                <span className="outline-key">{keyInWords(key, value)}</span> {nameOf(child)}{" "}
                <span className="quiet">{countInWords(child)}</span>
              </summary>
              <Outline value={child} openLevels={openLevels - 1} />
            </details>
          ) : (
            <span className="outline-line">
              <span className="outline-key">{keyInWords(key, value)}</span>{" "}
              <span className="outline-value">{leafInWords(child)}</span>
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}

/** A list of plain values is one line, not a level. */
function isBranch(value: unknown): value is Branch {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some((each) => typeof each === "object" && each !== null);
  return Object.keys(value).length > 0;
}

function leafInWords(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(" ");
  return JSON.stringify(value);
}

/** Members of a list count from 1, as people do. */
function keyInWords(key: string, parent: Branch): string {
  return Array.isArray(parent) ? `${Number(key) + 1}` : key;
}

/** A process is known by its command and PID, whatever else it has. */
function nameOf(value: Branch): string {
  if (Array.isArray(value)) return "";
  const { pid, comm, name } = value;
  return [comm ?? name, pid]
    .filter((part) => typeof part === "string" || typeof part === "number")
    .join(", PID ");
}

function countInWords(value: Branch): string {
  return Array.isArray(value) ? `${value.length} in all` : "";
}
