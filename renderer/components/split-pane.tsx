// Two panes with a divider that can be dragged, or moved with the arrow keys. The share is the first
// pane's part of the whole; the owner keeps it.
import { useRef, useState, type ReactElement, type ReactNode } from "react";

const KEY_STEP = 0.02;

export function SplitPane({
  direction,
  share,
  least = 0.15,
  most = 0.85,
  label,
  onShareChange,
  first,
  second,
}: {
  readonly direction: "row" | "column";
  readonly share: number;
  readonly least?: number;
  readonly most?: number;
  readonly label: string;
  readonly onShareChange: (share: number) => void;
  readonly first: ReactNode;
  readonly second: ReactNode;
}): ReactElement {
  const frame = useRef<HTMLDivElement>(null);
  // While the divider is dragged the share is kept here, and handed over when it is let go.
  const [dragged, setDragged] = useState<number | null>(null);
  const bounded = (value: number): number => Math.min(most, Math.max(least, value));
  const shown = bounded(dragged ?? share);

  const shareAt = (event: React.PointerEvent): number => {
    const box = frame.current?.getBoundingClientRect();
    if (box === undefined) return shown;
    return bounded(
      direction === "row"
        ? (event.clientX - box.left) / box.width
        : (event.clientY - box.top) / box.height,
    );
  };
  const [less, more] = direction === "row" ? ["ArrowLeft", "ArrowRight"] : ["ArrowUp", "ArrowDown"];
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const next =
      event.key === less
        ? shown - KEY_STEP
        : event.key === more
          ? shown + KEY_STEP
          : event.key === "Home"
            ? least
            : event.key === "End"
              ? most
              : null;
    if (next === null) return;
    event.preventDefault();
    onShareChange(bounded(next));
  };
  return (
    <div
      ref={frame}
      className={`split split-${direction}`}
      style={{
        [direction === "row" ? "gridTemplateColumns" : "gridTemplateRows"]:
          `minmax(0, ${shown}fr) auto minmax(0, ${1 - shown}fr)`,
      }}
    >
      <div className="split-pane">{first}</div>
      <div
        className="split-divider"
        role="separator"
        tabIndex={0}
        aria-label={label}
        aria-orientation={direction === "row" ? "vertical" : "horizontal"}
        aria-valuenow={Math.round(shown * 100)}
        aria-valuemin={Math.round(least * 100)}
        aria-valuemax={Math.round(most * 100)}
        onKeyDown={onKeyDown}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setDragged(shareAt(event));
        }}
        onPointerMove={(event) => {
          if (dragged !== null) setDragged(shareAt(event));
        }}
        onPointerUp={() => {
          if (dragged !== null) onShareChange(dragged);
          setDragged(null);
        }}
        onPointerCancel={() => setDragged(null)}
      />
      <div className="split-pane">{second}</div>
    </div>
  );
}
