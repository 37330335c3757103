// The display on screen: its session lives as long as the application is the chosen one and runs.
import { useEffect, useRef, type ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { isConnected, useConnection } from "../../stores/connection.js";
import { DisplaySession, type DisplayStatus } from "./display-session.js";

export function ViewedDisplay({
  application,
  status,
  onStatus,
  onLeave,
}: {
  readonly application: ApplicationRecord;
  readonly status: DisplayStatus | null;
  readonly onStatus: (status: DisplayStatus) => void;
  readonly onLeave: () => void;
}): ReactElement {
  const frame = useRef<HTMLDivElement>(null);
  const session = useRef<DisplaySession | null>(null);
  const { id, name } = application;
  const capsuleId = application.life?.capsuleId;

  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const opened = new DisplaySession(id, element, `The display of ${name}`, {
      status: onStatus,
      leave: onLeave,
    });
    session.current = opened;
    return () => {
      session.current = null;
      opened.dispose();
    };
  }, [id, name, onStatus, onLeave]);

  // A new life has a new server; and with the agent the connection goes, and comes back.
  const connected = useConnection(isConnected);
  useEffect(() => {
    if (connected) void session.current?.connect();
  }, [id, name, capsuleId, connected]);

  return (
    <div className="display-frame">
      <div ref={frame} className="display-screen" />
      {status?.kind === "lost" ? (
        <p className="display-lost" role="status">
          {connected
            ? (status.failure?.detail?.happened ??
              status.failure?.message ??
              "The display was cut off, as a restore does.")
            : "The display can’t be seen while the agent can’t be reached."}{" "}
          It is connected again by itself.
        </p>
      ) : null}
    </div>
  );
}
