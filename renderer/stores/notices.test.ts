import { beforeEach, describe, expect, it } from "vitest";
import { describeFailure } from "../../electron/contract/failure.js";
import {
  addAgentNotice,
  addFailure,
  hideToast,
  noticesStore,
  removeAgentNotices,
  removeNotice,
  replaceAgentNotices,
} from "./notices.js";

const notice = (id: number, severity: "info" | "warning" | "error" = "warning") => ({
  id,
  at: `2026-11-23T10:00:0${id}.000Z`,
  severity,
  applicationId: "a",
  message: `message ${id}`,
});
const failure = describeFailure("no-room", {
  happened: "No store has room.",
  unchanged: "It runs on.",
  remedy: "Make room.",
});

beforeEach(() => {
  noticesStore.setState(noticesStore.getInitialState(), true);
});

describe("notices", () => {
  it("take a failure's parts apart", () => {
    addFailure("Capturing A failed", failure, "a");
    expect(noticesStore.getState().all).toMatchObject([
      {
        title: "Capturing A failed",
        happened: "No store has room.",
        unchanged: "It runs on.",
        remedy: "Make room.",
        applicationId: "a",
        severity: "error",
      },
    ]);
  });

  it("are toasts until they are hidden, and stay in the list", () => {
    addFailure("Capturing A failed", failure, "a");
    const [key = ""] = noticesStore.getState().toastKeys;
    hideToast(key);
    expect(noticesStore.getState()).toMatchObject({ toastKeys: [], all: [{ key }] });
    removeNotice(key);
    expect(noticesStore.getState().all).toEqual([]);
  });

  it("of the agent come once, and without a toast when they are only news", () => {
    addAgentNotice(notice(1), "A");
    addAgentNotice(notice(1), "A");
    addAgentNotice(notice(2, "info"), null);
    const { all, toastKeys } = noticesStore.getState();
    expect(all.map((each) => each.title)).toEqual(["a", "A"]);
    expect(toastKeys).toEqual(["agent-1"]);
  });

  it("of the agent are replaced after a connection, the panel's own are kept", () => {
    addAgentNotice(notice(1), "A");
    addFailure("Capturing A failed", failure, "a");
    replaceAgentNotices([notice(2)], () => "A");
    expect(noticesStore.getState().all.map((each) => each.agentNoticeId)).toEqual([null, 2]);
    expect(noticesStore.getState().toastKeys).toHaveLength(1);
  });

  it("of the agent go when anybody has dismissed them, the panel's own stay", () => {
    addAgentNotice(notice(1), "A");
    addAgentNotice(notice(2), "A");
    addAgentNotice(notice(3), "A");
    addFailure("Capturing A failed", failure, "a");
    removeAgentNotices(2);
    expect(noticesStore.getState().all.map((each) => each.agentNoticeId)).toEqual([null, 3, 1]);
    removeAgentNotices(null);
    expect(noticesStore.getState().all.map((each) => each.agentNoticeId)).toEqual([null]);
    expect(noticesStore.getState().toastKeys).toHaveLength(1);
  });

  it("never cover the window: at most three toasts", () => {
    for (const id of [1, 2, 3, 4]) addAgentNotice(notice(id), "A");
    expect(noticesStore.getState().toastKeys).toEqual(["agent-4", "agent-3", "agent-2"]);
    expect(noticesStore.getState().all).toHaveLength(4);
  });
});
