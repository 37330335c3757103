// The line above a terminal or a display: what it is, how to leave it, and its size.
import type { ReactElement, ReactNode } from "react";
import { ActionButton } from "./action-button.js";

/** What each pane below the timeline is told by the layout around it. */
export interface PaneSize {
  /** It has all the room; the button gives it back. */
  readonly large: boolean;
  readonly onToggleLarge: () => void;
}

export function PaneHeader({
  title,
  status,
  shown,
  large,
  onToggleLarge,
  children,
}: PaneSize & {
  readonly title: string;
  readonly status: string;
  /** The application runs, so there is something to see and to leave. */
  readonly shown: boolean;
  /** Buttons of its own, before the one for the size. */
  readonly children?: ReactNode;
}): ReactElement {
  return (
    <header className="pane-header">
      <h2>{title}</h2>
      <span className="quiet figures">{shown ? status : ""}</span>
      <span className="pane-header-hint quiet">
        {shown ? (
          <>
            <kbd>Ctrl+F6</kbd> leaves it
          </>
        ) : null}
      </span>
      {children}
      <ActionButton
        label={large ? "Back to normal size" : `Larger ${title.toLowerCase()}`}
        icon={large ? "shrink" : "expand"}
        iconOnly
        tone="bare"
        onPress={onToggleLarge}
      />
    </header>
  );
}
