// How far something is: a bar with its value for assistive technology, moving without end where the
// amount of work isn't known.
import type { ReactElement } from "react";
import { ProgressBar } from "react-aria-components";

export function ProgressLine({
  label,
  done,
  total,
}: {
  readonly label: string;
  readonly done: number | null;
  readonly total: number | null;
}): ReactElement {
  const known = done !== null && total !== null && total > 0;
  return (
    <ProgressBar
      className="progress-line"
      aria-label={label}
      isIndeterminate={!known}
      {...(known ? { value: Math.min(done, total), maxValue: total } : {})}
    >
      {({ percentage }) => (
        <span
          className={known ? "progress-done" : "progress-endless"}
          style={known ? { width: `${percentage ?? 0}%` } : {}}
        />
      )}
    </ProgressBar>
  );
}
