// An error in its three parts, each recognisable: what happened, what is still as it was, what to do;
// and, where something stands in the way of a capture, what exactly.
import type { ReactElement } from "react";
import type { Blocker, Failure } from "../../electron/contract/failure.js";

export function FailureText({
  happened,
  unchanged,
  remedy,
  blockers,
}: {
  readonly happened: string;
  readonly unchanged: string | null;
  readonly remedy: string | null;
  readonly blockers: readonly Blocker[];
}): ReactElement {
  return (
    <div className="failure-text selectable">
      <p>{happened}</p>
      {blockers.length === 0 ? null : <BlockerList blockers={blockers} />}
      {unchanged === null ? null : <p>{unchanged}</p>}
      {remedy === null ? null : (
        <p>
          <strong>What to do:</strong> {remedy}
        </p>
      )}
    </div>
  );
}

/** The same for a failure as it crossed a process. */
export function FailureAnswer({ failure }: { readonly failure: Failure }): ReactElement {
  return (
    <FailureText
      happened={failure.detail?.happened ?? failure.message}
      unchanged={failure.detail?.unchanged ?? null}
      remedy={failure.detail?.remedy ?? null}
      blockers={failure.detail?.blockers ?? []}
    />
  );
}

export function BlockerList({ blockers }: { readonly blockers: readonly Blocker[] }): ReactElement {
  return (
    <ul className="blockers">
      {blockers.map((blocker, index) => (
        <li key={`${blocker.code}-${blocker.pid ?? "none"}-${index}`}>
          <p>
            {blocker.comm === null ? null : (
              <span className="mono">
                {blocker.comm}
                {blocker.pid === null ? "" : ` (${blocker.pid})`}:{" "}
              </span>
            )}
            {blocker.message}
            {blocker.subject === "" ? null : <code> {blocker.subject}</code>}
          </p>
          {blocker.remedy === null ? null : <p className="quiet">{blocker.remedy}</p>}
        </li>
      ))}
    </ul>
  );
}
