// The terminal of the chosen application, and what stands in its place while there is none.
import { useEffect, useRef, useState, type ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { startApplication, wakeApplication } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { EmptyState } from "../../components/empty-state.js";
import { useRootFontSize } from "../../components/root-font-size.js";
import { isConnected, useConnection } from "../../stores/connection.js";
import { themeOf, usePreferences } from "../../stores/preferences.js";
import { asSentence } from "../../words/sentences.js";
import { terminalPalette } from "./terminal-palette.js";
import { TerminalSession, type TerminalStatus } from "./terminal-session.js";

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
        <AttachedTerminal
          key={application.id}
          application={application}
          status={status}
          onStatus={setStatus}
        />
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

function AttachedTerminal({
  application,
  status,
  onStatus,
}: {
  readonly application: ApplicationRecord;
  readonly status: TerminalStatus | null;
  readonly onStatus: (status: TerminalStatus) => void;
}): ReactElement {
  const frame = useRef<HTMLDivElement>(null);
  const session = useRef<TerminalSession | null>(null);
  const theme = usePreferences(themeOf);
  const fontSize = Math.round(useRootFontSize());
  const capsuleId = application.life?.capsuleId;

  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const opened = new TerminalSession(
      application.id,
      {
        theme: terminalPalette(themeOf({ theme: "system", layout: {}, systemIsDark: false })),
        fontSize: 13,
        fontFamily: '"IBM Plex Mono", ui-monospace, monospace',
      },
      onStatus,
    );
    session.current = opened;
    opened.open(element);
    return () => {
      session.current = null;
      opened.dispose();
    };
  }, [application.id, onStatus]);

  useEffect(() => {
    session.current?.setLook({ theme: terminalPalette(theme), fontSize });
  }, [theme, fontSize, application.id]);

  // A new life is a new terminal, where the attached client did not follow into it by itself; and with
  // the agent the client goes, and comes back.
  const connected = useConnection(isConnected);
  useEffect(() => {
    if (connected) void session.current?.attach();
  }, [application.id, capsuleId, connected]);

  const lost = status?.kind === "detached" || status?.kind === "failed";
  return (
    <div className="terminal-frame">
      <div ref={frame} className="terminal-screen" />
      {lost ? (
        <div className="terminal-lost" role="status">
          <p>
            {status.kind === "failed"
              ? (status.failure.detail?.happened ?? status.failure.message)
              : connected
                ? `The terminal is not attached any more (exit status ${status.exitCode}). The application is not affected.`
                : "The terminal is not attached while the agent can’t be reached. It attaches again by itself."}
          </p>
          <ActionButton
            label="Attach again"
            icon="terminal"
            isDisabled={!connected}
            onPress={() => void session.current?.attach()}
          />
        </div>
      ) : null}
    </div>
  );
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
