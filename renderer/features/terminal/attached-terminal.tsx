// The terminal on screen: its session lives as long as the application is the chosen one.
import "@xterm/xterm/css/xterm.css";
import { useEffect, useRef, type ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { ActionButton } from "../../components/action-button.js";
import { useRootFontSize } from "../../components/root-font-size.js";
import { isConnected, useConnection } from "../../stores/connection.js";
import { themeOf, usePreferences } from "../../stores/preferences.js";
import { terminalPalette } from "./terminal-palette.js";
import { TerminalSession, type TerminalStatus } from "./terminal-session.js";

export function AttachedTerminal({
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
