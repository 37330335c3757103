// The terminal of the chosen application, and what stands in its place while there is none.
import { lazy, Suspense, useState, type ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { EmptyState } from "../../components/empty-state.js";
import { PaneHeader, type PaneSize } from "../../components/pane-header.js";
import type { TerminalStatus } from "./terminal-session.js";

/** The terminal emulator is half of the page's code: the window is painted before it is read. */
const AttachedTerminal = lazy(async () => ({
  default: (await import("./attached-terminal.js")).AttachedTerminal,
}));

export function TerminalPane({
  application,
  large,
  onToggleLarge,
  absent,
}: PaneSize & {
  readonly application: ApplicationRecord;
  /** What is shown while the application does not run. */
  readonly absent: ReactElement;
}): ReactElement {
  const [status, setStatus] = useState<TerminalStatus | null>(null);
  const hasTerminal = application.surface.kind === "terminal";
  const shown = hasTerminal && application.life !== null;
  return (
    <section className="terminal-pane" aria-label="Terminal" data-pane="terminal">
      <PaneHeader
        title="Terminal"
        status={statusInWords(status)}
        shown={shown}
        large={large}
        onToggleLarge={onToggleLarge}
      />
      {shown ? (
        <Suspense fallback={<div className="terminal-frame" />}>
          <AttachedTerminal
            key={application.id}
            application={application}
            status={status}
            onStatus={setStatus}
          />
        </Suspense>
      ) : hasTerminal ? (
        absent
      ) : (
        <NoTerminal application={application} />
      )}
    </section>
  );
}

function statusInWords(status: TerminalStatus | null): string {
  switch (status?.kind) {
    case undefined:
    case "attaching":
      return "Attaching…";
    case "attached":
      return `${status.cols} × ${status.rows}`;
    case "detached":
    case "failed":
      return "Not attached";
  }
}

function NoTerminal({ application }: { readonly application: ApplicationRecord }): ReactElement {
  return (
    <EmptyState icon="terminal" title="No terminal">
      <p>
        {application.name} runs without a terminal. Say terminal = true in its file to give it one,
        or display = &quot;1280x800&quot; for a display.
      </p>
    </EmptyState>
  );
}
