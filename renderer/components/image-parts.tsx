// The three parts of an application's memory, the way they are everywhere in the panel: the same order,
// colours and words.
import type { ReactElement } from "react";
import type { Sizes } from "../../electron/contract/identifiers.js";
import { formatBytes, measureBytes } from "../words/quantities.js";

export const PARTS = [
  { key: "systemStateBytes", name: "System state", short: "State", className: "part-system-state" },
  { key: "physicalBytes", name: "Physical memory", short: "Physical", className: "part-physical" },
  { key: "virtualBytes", name: "Virtual memory", short: "Virtual", className: "part-virtual" },
] as const satisfies readonly {
  key: keyof Sizes;
  name: string;
  short: string;
  className: string;
}[];

export function totalOf(sizes: Sizes): number {
  return sizes.systemStateBytes + sizes.physicalBytes + sizes.virtualBytes;
}

/** "System state 48.0 KiB, physical memory 23.4 MiB, virtual memory 0 B", for those who don't see the bar. */
export function sizesInWords(sizes: Sizes): string {
  return PARTS.map(
    ({ key, name }, index) =>
      `${index === 0 ? name : name.toLowerCase()} ${formatBytes(sizes[key])}`,
  ).join(", ");
}

/** One bar of the three, to the scale of `scaleBytes`; a part that is there is never thinner than a line. */
export function PartsBar({
  sizes,
  scaleBytes,
}: {
  readonly sizes: Sizes;
  readonly scaleBytes: number;
}): ReactElement {
  return (
    <span className="parts-bar" aria-hidden="true">
      {PARTS.map(({ key, className }) =>
        sizes[key] === 0 ? null : (
          <span
            key={key}
            className={className}
            style={{ flexBasis: `${(sizes[key] / Math.max(1, scaleBytes)) * 100}%` }}
          />
        ),
      )}
    </span>
  );
}

/** The three as figures in a row, for small places: marks instead of names. */
export function PartsFigures({ sizes }: { readonly sizes: Sizes }): ReactElement {
  return (
    <span className="parts-figures figures">
      <span className="visually-hidden">{sizesInWords(sizes)}</span>
      {PARTS.map(({ key, className }) => (
        <span key={key} className="parts-figure" aria-hidden="true">
          <span className={`part-swatch ${className}`} />
          {formatBytes(sizes[key])}
        </span>
      ))}
    </span>
  );
}

/** The three as named figures with a bar each, for the header. Null sizes keep the same room. */
export function PartsMeters({ sizes }: { readonly sizes: Sizes | null }): ReactElement {
  const total = sizes === null ? 0 : totalOf(sizes);
  return (
    <dl className="parts-meters">
      {PARTS.map(({ key, name, className }) => {
        const quantity = sizes === null ? null : measureBytes(sizes[key]);
        const share = sizes === null || total === 0 ? 0 : (sizes[key] / total) * 100;
        return (
          <div key={key} className="parts-meter">
            <dt>
              <span className={`part-swatch ${className}`} aria-hidden="true" />
              {name}
            </dt>
            <dd className="figures">
              {quantity === null ? (
                <span className="quiet">–</span>
              ) : (
                <>
                  <strong>{quantity.figure}</strong> {quantity.unit}
                </>
              )}
              <span className="meter-track" aria-hidden="true">
                <span className={className} style={{ width: `${share}%` }} />
              </span>
            </dd>
          </div>
        );
      })}
    </dl>
  );
}
