// What an admin should know: failures of what was asked for, and what the agent noticed by itself. Each
// is shown once as a toast and stays in the notice centre until it is dismissed.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";
import type { Failure } from "../../electron/contract/failure.js";
import type { Notice } from "../../electron/contract/system.js";

export interface PanelNotice {
  readonly key: string;
  readonly at: string;
  readonly severity: "info" | "warning" | "error";
  readonly applicationId: string | null;
  /** One line: what was being done. */
  readonly title: string;
  /** What happened. */
  readonly happened: string;
  readonly unchanged: string | null;
  readonly remedy: string | null;
  readonly blockers: NonNullable<NonNullable<Failure["detail"]>["blockers"]>;
  /** Its number at the agent, which keeps it too; null for the panel's own. */
  readonly agentNoticeId: number | null;
}

export interface NoticesState {
  /** Newest first. */
  readonly all: readonly PanelNotice[];
  /** Which of them are shown as toasts. */
  readonly toastKeys: readonly string[];
}

/** More toasts than this would cover what they are about; the rest is in the notice centre. */
const MOST_TOASTS = 3;
const MOST_NOTICES = 500;

export const noticesStore = createStore<NoticesState>()(() => ({ all: [], toastKeys: [] }));

export function useNotices<T>(selector: (state: NoticesState) => T): T {
  return useStore(noticesStore, selector);
}

let nextKey = 1;

export function addFailure(title: string, failure: Failure, applicationId: string | null): void {
  const { detail } = failure;
  add({
    key: `panel-${nextKey++}`,
    at: new Date().toISOString(),
    severity: "error",
    applicationId: detail?.applicationId ?? applicationId,
    title,
    happened: detail?.happened ?? failure.message,
    unchanged: detail?.unchanged ?? null,
    remedy: detail?.remedy ?? null,
    blockers: detail?.blockers ?? [],
    agentNoticeId: null,
  });
}

export function addAgentNotice(notice: Notice, applicationName: string | null): void {
  if (noticesStore.getState().all.some((each) => each.agentNoticeId === notice.id)) return;
  add(fromAgent(notice, applicationName), notice.severity !== "info");
}

/** What the agent kept while no panel was open: listed, but no toasts for old news. */
export function replaceAgentNotices(
  notices: readonly Notice[],
  nameOf: (applicationId: string) => string | null,
): void {
  noticesStore.setState(({ all, toastKeys }) => {
    const own = all.filter((notice) => notice.agentNoticeId === null);
    const agents = notices.map((notice) =>
      fromAgent(notice, notice.applicationId === null ? null : nameOf(notice.applicationId)),
    );
    const merged = [...own, ...agents].sort((a, b) => (a.at < b.at ? 1 : -1));
    const keys = new Set(merged.map((notice) => notice.key));
    return { all: merged, toastKeys: toastKeys.filter((key) => keys.has(key)) };
  });
}

export function hideToast(key: string): void {
  noticesStore.setState(({ toastKeys }) => ({
    toastKeys: toastKeys.filter((each) => each !== key),
  }));
}

export function removeNotice(key: string): void {
  noticesStore.setState(({ all, toastKeys }) => ({
    all: all.filter((notice) => notice.key !== key),
    toastKeys: toastKeys.filter((each) => each !== key),
  }));
}

/** Dismissed by whoever: here, in another panel, from a terminal. Null: all of the agent's. */
export function removeAgentNotices(noticeId: number | null): void {
  const goes = (notice: PanelNotice): boolean =>
    noticeId === null ? notice.agentNoticeId !== null : notice.agentNoticeId === noticeId;
  noticesStore.setState(({ all, toastKeys }) => {
    const kept = all.filter((notice) => !goes(notice));
    const keys = new Set(kept.map((notice) => notice.key));
    return { all: kept, toastKeys: toastKeys.filter((key) => keys.has(key)) };
  });
}

export function removeAllNotices(): void {
  noticesStore.setState({ all: [], toastKeys: [] });
}

function add(notice: PanelNotice, withToast = true): void {
  noticesStore.setState(({ all, toastKeys }) => ({
    all: [notice, ...all].slice(0, MOST_NOTICES),
    toastKeys: withToast ? [notice.key, ...toastKeys].slice(0, MOST_TOASTS) : toastKeys,
  }));
}

function fromAgent(notice: Notice, applicationName: string | null): PanelNotice {
  return {
    key: `agent-${notice.id}`,
    at: notice.at,
    severity: notice.severity,
    applicationId: notice.applicationId,
    title: applicationName ?? notice.applicationId ?? "Agent",
    happened: notice.message,
    unchanged: null,
    remedy: null,
    blockers: [],
    agentNoticeId: notice.id,
  };
}
