// The terminal of the chosen application, and what stands in its place while there is none.
import { lazy, Suspense, useState, type ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { startApplication, wakeApplication } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { EmptyState } from "../../components/empty-state.js";
import { isConnected, useConnection } from "../../stores/connection.js";
import { asSentence } from "../../words/sentences.js";
import type { TerminalStatus } from "./terminal-session.js";

/** The terminal emulator is half of the page's code: the window is painted before it is read. */
const AttachedTerminal = lazy(async () => ({
  default: (await import("./attached-terminal.js")).AttachedTerminal,
}));

export function TerminalPane({
  application,
  large,
  onToggleLarge,
}: {
  readonly application: ApplicationRecord;
  /** It has all the room; the button gives it back. */
  readonly large: boolean;
  readonly onToggleLarge: () => void;
}): ReactElement {
  const [status, setStatus] = useState<TerminalStatus | null>(null);
  const hasTerminal = application.surface.kind === "terminal";
  const shown = hasTerminal && application.life !== null;
  return (
    <section className="terminal-pane" aria-label="Terminal" data-pane="terminal">
      <header className="pane-header">
        <h2>Terminal</h2>
        <span className="quiet figures">{shown ? statusInWords(status) : ""}</span>
        <span className="pane-header-hint quiet">
          {shown ? (
            <>
              <kbd>Ctrl+F6</kbd> leaves it
            </>
          ) : null}
        </span>
        <ActionButton
          label={large ? "Back to normal size" : "Larger terminal"}
          icon={large ? "shrink" : "expand"}
          iconOnly
          tone="bare"
          onPress={onToggleLarge}
        />
      </header>
      {shown ? (
        <Suspense fallback={<div className="terminal-frame" />}>
          <AttachedTerminal
            key={application.id}
            application={application}
            status={status}
            onStatus={setStatus}
          />
        </Suspense>
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
  const connected = useConnection(isConnected);
  const { surface, name, state } = application;
  if (surface.kind !== "terminal") {
    return (
      <EmptyState
        icon="terminal"
        title={surface.kind === "none" ? "No terminal" : "A display, no terminal"}
      >
        <p>
          {surface.kind === "none"
            ? `${name} runs without a terminal. Say terminal = true in its file to give it one.`
            : `${name} has a display of ${surface.width} × ${surface.height} of its own.`}
        </p>
      </EmptyState>
    );
  }
  if (state === "hibernated") {
    return (
      <EmptyState
        icon="sleep"
        title={`${name} is hibernated`}
        actions={
          <ActionButton
            label="Wake it"
            icon="wake"
            isDisabled={!connected || application.operationId !== null}
            onPress={() => void wakeApplication(application.id)}
          />
        }
      >
        <p>It takes no memory now. Woken, it goes on where it was, screen and all.</p>
      </EmptyState>
    );
  }
  const canStart =
    connected && application.operationId === null && application.configProblem === null;
  return (
    <EmptyState
      icon="terminal"
      title={state === "failed" ? `${name} has failed` : `${name} is not running`}
      actions={
        <ActionButton
          label="Start it"
          icon="play"
          isDisabled={!canStart}
          onPress={() => void startApplication(application.id)}
        />
      }
    >
      <p>
        {application.stateReason === null
          ? "Start it, or restore one of its images."
          : `${asSentence(application.stateReason)} Start it anew, or restore one of its images.`}
      </p>
    </EmptyState>
  );
}
