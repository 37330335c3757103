// The display of the chosen application, in the pane or on all of the screen, and what stands in its place
// while there is none.
import { lazy, Suspense, useCallback, useEffect, useState, type ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { request } from "../../bridge.js";
import { ActionButton } from "../../components/action-button.js";
import type { DisplayStatus } from "./display-session.js";

/** noVNC is read when the first display is shown. */
const ViewedDisplay = lazy(async () => ({
  default: (await import("./viewed-display.js")).ViewedDisplay,
}));

export function DisplayPane({
  application,
  large,
  onToggleLarge,
  absent,
}: {
  readonly application: ApplicationRecord;
  /** It has all the room; the button gives it back. */
  readonly large: boolean;
  readonly onToggleLarge: () => void;
  /** What is shown while the application does not run. */
  readonly absent: ReactElement;
}): ReactElement {
  const [status, setStatus] = useState<DisplayStatus | null>(null);
  const [whole, setWhole] = useState(false);
  const shown = application.life !== null;
  const leave = useCallback(() => setWhole(false), []);
  const covers = shown && whole;

  useEffect(() => {
    if (!covers) return;
    void request("window:set-full-screen", { fullScreen: true }).catch(() => undefined);
    return () => {
      void request("window:set-full-screen", { fullScreen: false }).catch(() => undefined);
    };
  }, [covers]);

  return (
    <section
      className={`terminal-pane display-pane${covers ? " display-pane-whole" : ""}`}
      aria-label="Display"
      data-pane="display"
    >
      <header className="pane-header">
        <h2>Display</h2>
        <span className="quiet figures">{shown ? statusInWords(status, application) : ""}</span>
        <span className="pane-header-hint quiet">
          {shown ? (
            <>
              <kbd>Ctrl+F6</kbd> leaves it
            </>
          ) : null}
        </span>
        <ActionButton
          label="Full screen"
          icon="desktop"
          iconOnly
          tone="bare"
          isDisabled={!shown}
          hint="Ctrl+F6 comes back"
          onPress={() => setWhole(true)}
        />
        <ActionButton
          label={large ? "Back to normal size" : "Larger display"}
          icon={large ? "shrink" : "expand"}
          iconOnly
          tone="bare"
          onPress={onToggleLarge}
        />
      </header>
      {shown ? (
        <Suspense fallback={<div className="display-frame" />}>
          <ViewedDisplay
            key={application.id}
            application={application}
            status={status}
            onStatus={setStatus}
            onLeave={leave}
          />
        </Suspense>
      ) : (
        absent
      )}
    </section>
  );
}

function statusInWords(status: DisplayStatus | null, { surface }: ApplicationRecord): string {
  switch (status?.kind) {
    case undefined:
    case "connecting":
      return "Connecting…";
    case "connected":
      return surface.kind === "display" ? `${surface.width} × ${surface.height}` : "";
    case "lost":
      return "Not connected";
  }
}
