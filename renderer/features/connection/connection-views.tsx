// The connection to the agent, in three places: a word at the foot of the list, a bar over the work when
// it was lost, and the whole window when there never was one.
import type { ReactElement } from "react";
import { retryConnection } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { EmptyState } from "../../components/empty-state.js";
import { Icon } from "../../components/icon.js";
import { StateMark } from "../../components/state-mark.js";
import { useClock } from "../../stores/clock.js";
import { useConnection } from "../../stores/connection.js";
import { dayAndTimeWithin } from "../../words/moments.js";

export function ConnectionWord(): ReactElement {
  const kind = useConnection((state) => state.connection.kind);
  const hostname = useConnection((state) => state.system?.hostname ?? null);
  return (
    <p className="connection-word">
      {kind === "connected" ? (
        <StateMark tone="running" word={hostname ?? "Connected"} />
      ) : kind === "connecting" ? (
        <StateMark tone="busy" word="Connecting…" />
      ) : (
        <StateMark tone="failed" word="No agent" />
      )}
    </p>
  );
}

/** Takes the place of the operation line, so that nothing moves when the connection goes or comes back. */
export function ConnectionLostBar(): ReactElement | null {
  const connection = useConnection((state) => state.connection);
  const since = useClock((now) =>
    connection.kind === "lost" && connection.since !== null
      ? dayAndTimeWithin(connection.since, now)
      : null,
  );
  if (connection.kind !== "lost") return null;
  return (
    <section className="connection-lost" role="alert">
      <Icon name="warning" />
      <p className="clipped">
        <strong>The agent can’t be reached</strong>
        {since === null ? "" : ` since ${since}`}. Applications run on; what you see is as of then.{" "}
        <NextAttempt />
      </p>
      <ActionButton label="Try now" onPress={() => void retryConnection()} />
    </section>
  );
}

export function AgentUnreachable(): ReactElement {
  const connection = useConnection((state) => state.connection);
  const failure = connection.kind === "lost" ? connection.failure : null;
  return (
    <main className="agent-unreachable">
      <EmptyState
        icon="machine"
        level={1}
        title={
          failure !== null
            ? failure.code === "not-permitted"
              ? "This user may not use the agent"
              : "The agent is not running"
            : connection.kind === "connected"
              ? "Reading from the agent…"
              : "Connecting to the agent…"
        }
        actions={
          failure === null ? undefined : (
            <ActionButton label="Try now" tone="primary" onPress={() => void retryConnection()} />
          )
        }
      >
        {failure === null ? (
          <p className="mono">{connection.socketPath}</p>
        ) : (
          <>
            <p className="selectable">{failure.detail?.happened ?? failure.message}</p>
            <p>Applications that run are not affected; they don’t need the agent to go on.</p>
            {failure.code === "not-permitted" ? (
              <p className="selectable">{failure.detail?.remedy}</p>
            ) : (
              <StartAgent />
            )}
            <p className="quiet">
              <NextAttempt />
            </p>
          </>
        )}
      </EmptyState>
    </main>
  );
}

function StartAgent(): ReactElement {
  return (
    <dl className="start-agent selectable">
      <div>
        <dt>Installed</dt>
        <dd>
          <code>sudo systemctl start torpor-agent</code>
        </dd>
      </div>
      <div>
        <dt>From a checkout</dt>
        <dd>
          <code>npm run agent</code>
        </dd>
      </div>
    </dl>
  );
}

function NextAttempt(): ReactElement {
  const connection = useConnection((state) => state.connection);
  const seconds = useClock((now) =>
    connection.kind === "lost"
      ? Math.max(0, Math.ceil((Date.parse(connection.nextAttemptAt) - now) / 1000))
      : 0,
  );
  return <>{seconds === 0 ? "Trying again now." : `Trying again in ${seconds} s.`}</>;
}
