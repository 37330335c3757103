/** Tells operators what they did not ask about: kept until dismissed, and logged. */
import type { ApplicationId, Notice } from "../contract/index.js";
import type { AgentEvents } from "./agent-events.js";
import type { NoticeTable } from "./catalog/notice-table.js";
import type { Logger } from "./log.js";

export class Notices {
  readonly #table: NoticeTable;
  readonly #events: AgentEvents;
  readonly #log: Logger;

  constructor(table: NoticeTable, events: AgentEvents, log: Logger) {
    this.#table = table;
    this.#events = events;
    this.#log = log;
  }

  add(severity: Notice["severity"], applicationId: ApplicationId | null, message: string): void {
    const notice = this.#table.add({
      at: new Date().toISOString(),
      severity,
      applicationId,
      message,
    });
    this.#log.warn(
      { severity, ...(applicationId === null ? {} : { application: applicationId }) },
      message,
    );
    this.#events.emit("notice.added", { notice });
  }
}
