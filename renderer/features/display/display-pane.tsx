// The display of the chosen application, in the pane or on all of the screen, and what stands in its place
// while there is none.
import { lazy, Suspense, useCallback, useEffect, useState, type ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { request } from "../../bridge.js";
import { ActionButton } from "../../components/action-button.js";
import { PaneHeader, type PaneSize } from "../../components/pane-header.js";
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
}: PaneSize & {
  readonly application: ApplicationRecord;
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
      <PaneHeader
        title="Display"
        status={statusInWords(status, application)}
        shown={shown}
        large={large}
        onToggleLarge={onToggleLarge}
      >
        <ActionButton
          label="Full screen"
          icon="desktop"
          iconOnly
          tone="bare"
          isDisabled={!shown}
          hint="Ctrl+F6 comes back"
          onPress={() => setWhole(true)}
        />
      </PaneHeader>
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
