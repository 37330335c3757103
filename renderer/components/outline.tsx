// Any value as an outline that opens level by level: for what the helper says in words of its own.
import type { ReactElement } from "react";

export function Outline({
  value,
  openLevels,
}: {
  readonly value: unknown;
  /** How many levels are open at first. */
  readonly openLevels: number;
}): ReactElement {
  if (!isBranch(value)) return <Leaf value={value} />;
  return (
    <ul className="outline mono">
      {Object.entries(value).map(([key, child]) => (
        <li key={key}>
          {isBranch(child) && Object.keys(child).length > 0 ? (
            <details open={openLevels > 0}>
              <summary>
                <span className="outline-key">{key}</span>{" "}
                <span className="quiet">{summaryOf(child)}</span>
              </summary>
              <Outline value={child} openLevels={openLevels - 1} />
            </details>
          ) : (
            <span className="outline-line">
              <span className="outline-key">{key}</span> <Leaf value={child} />
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}

function Leaf({ value }: { readonly value: unknown }): ReactElement {
  return (
    <span className="outline-value">
      {typeof value === "string" ? value : JSON.stringify(value)}
    </span>
  );
}

function isBranch(value: unknown): value is Record<string, unknown> | unknown[] {
  return typeof value === "object" && value !== null;
}

/** A process is known by its command, whatever else it has. */
function summaryOf(value: Record<string, unknown> | unknown[]): string {
  if (Array.isArray(value)) return `${value.length} entries`;
  const { pid, comm } = value;
  const named = [comm, pid].filter((part) => typeof part === "string" || typeof part === "number");
  return named.length > 0 ? named.join(" ") : "";
}
