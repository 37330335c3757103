// Keeps the stores as the agent is: everything anew after each connection, then event by event.
import { toFailure } from "../electron/contract/failure.js";
import type { OperationRecord } from "../electron/contract/operation.js";
import type { AgentEventMessage, ConnectionState } from "../electron/contract/panel-channels.js";
import { hear, request } from "./bridge.js";
import {
  applicationsStore,
  measureApplication,
  putApplication,
  removeApplication,
  replaceApplications,
} from "./stores/applications.js";
import { setConnection, setSystem } from "./stores/connection.js";
import { putImage, removeImage, replaceImages } from "./stores/images.js";
import {
  addAgentNotice,
  addFailure,
  removeAgentNotices,
  replaceAgentNotices,
} from "./stores/notices.js";
import { putOccurrences, replaceOccurrences } from "./stores/occurrences.js";
import { putOperation, replaceRunningOperations } from "./stores/operations.js";
import { OPERATION_WORDS } from "./words/application-words.js";

/** What happened before that is asked for when somebody looks at it. */
const OCCURRENCES_AT_ONCE = 1000;

/** Starts it; the returned function ends it. */
export function startAgentSync(page: Document): () => void {
  const stops = [
    hear("connection:state-changed", adoptConnection),
    hear("agent:event-received", apply),
    watchWhatIsSeen(page),
  ];
  void request("connection:get-state", {}).then(adoptConnection);
  return () => {
    for (const stop of stops) stop();
  };
}

function adoptConnection(connection: ConnectionState): void {
  setConnection(connection);
  if (connection.kind === "connected") void loadAll();
}

async function loadAll(): Promise<void> {
  try {
    const [system, { applications }, { images }, { occurrences }, { operations }, { notices }] =
      await Promise.all([
        request("agent:system.info", {}),
        request("agent:applications.list", {}),
        request("agent:images.list", {}),
        request("agent:recovery.history", { limit: OCCURRENCES_AT_ONCE }),
        request("agent:operations.list", { active: true }),
        request("agent:notices.list", {}),
      ]);
    setSystem(system);
    replaceImages(images);
    replaceOccurrences(occurrences);
    replaceApplications(applications);
    replaceRunningOperations(operations);
    replaceAgentNotices(notices, applicationName);
    watch();
  } catch (error) {
    const failure = toFailure(error);
    // A connection that is lost meanwhile says so itself, and loads again when it is back.
    if (failure.code !== "agent-unreachable") {
      addFailure("Reading from the agent", failure, null);
    }
  }
}

function apply(message: AgentEventMessage): void {
  switch (message.event) {
    case "application.changed":
      applyAndWatch(() => putApplication(message.payload.application));
      return;
    case "application.removed":
      applyAndWatch(() => removeApplication(message.payload.applicationId));
      return;
    case "application.measured":
      measureApplication(message.payload.applicationId, message.payload.measurement);
      return;
    case "image.added":
    case "image.changed":
      putImage(message.payload.image);
      return;
    case "image.removed":
      removeImage(message.payload.imageId);
      return;
    case "operation.changed":
      adoptOperation(message.payload.operation);
      return;
    case "occurrence.added":
    case "occurrence.changed":
      putOccurrences([message.payload.occurrence]);
      return;
    case "notice.added": {
      const { notice } = message.payload;
      addAgentNotice(
        notice,
        notice.applicationId === null ? null : applicationName(notice.applicationId),
      );
      return;
    }
    case "notice.removed":
      removeAgentNotices(message.payload.noticeId);
      return;
  }
}

/** Also for operations that come as an answer: whoever sees the end first tells it. */
export function adoptOperation(operation: OperationRecord): void {
  const ended = putOperation(operation);
  if (!ended || operation.state !== "failed" || operation.error === null) return;
  const name = applicationName(operation.applicationId) ?? operation.applicationId;
  addFailure(
    `${OPERATION_WORDS[operation.kind]} ${name} failed`,
    operation.error,
    operation.applicationId,
  );
}

function applicationName(applicationId: string): string | null {
  return applicationsStore.getState().byId[applicationId]?.name ?? null;
}

/** A new application has to be watched too. */
function applyAndWatch(change: () => void): void {
  const before = applicationsStore.getState().order;
  change();
  if (applicationsStore.getState().order.join() !== before.join()) watch();
}

/** The agent measures only what somebody looks at, and nobody looks at a hidden window. */
function watchWhatIsSeen(page: Document): () => void {
  const follow = (): void => watch();
  page.addEventListener("visibilitychange", follow);
  return () => page.removeEventListener("visibilitychange", follow);
}

function watch(): void {
  const { order } = applicationsStore.getState();
  const apps = document.visibilityState === "hidden" ? [] : order.slice(0, 1000);
  // Without a connection there is nothing to tell; the next one starts with a watch of its own.
  void request("agent:applications.watch", { apps }).catch(() => undefined);
}
