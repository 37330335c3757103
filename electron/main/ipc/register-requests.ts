// The one place that registers ipcMain handlers. Each request is checked twice before anything is done
// (who sends it, what it says), and every outcome goes back as data.
import { ipcMain, type IpcMainInvokeEvent, type WebContents } from "electron";
import { describeFailure, toFailure, type Failure } from "../../contract/failure.js";
import {
  panelRequestChannels,
  type Answer,
  type PanelRequestChannel,
  type RequestParams,
  type RequestResult,
} from "../../contract/panel-channels.js";
import { checkParams } from "./request-schemas.js";
import { isTrustedSender } from "./trusted-sender.js";

export type RequestHandlers = {
  readonly [C in PanelRequestChannel]: (
    params: RequestParams<C>,
    sender: WebContents,
  ) => RequestResult<C> | Promise<RequestResult<C>>;
};

export function registerRequests(handlers: RequestHandlers): void {
  for (const channel of panelRequestChannels as ReadonlySet<PanelRequestChannel>) {
    ipcMain.handle(channel, (event, params: unknown) => answer(channel, handlers, event, params));
  }
}

async function answer<C extends PanelRequestChannel>(
  channel: C,
  handlers: RequestHandlers,
  event: IpcMainInvokeEvent,
  params: unknown,
): Promise<Answer<RequestResult<C>>> {
  if (!isTrustedSender(event)) return { ok: false, failure: refused() };
  const checked = checkParams(channel, params);
  if (!checked.ok) return { ok: false, failure: malformed(channel, checked.problem) };
  try {
    return { ok: true, value: await handlers[channel](checked.params, event.sender) };
  } catch (error) {
    return { ok: false, failure: toFailure(error) };
  }
}

function refused(): Failure {
  return describeFailure("not-permitted", {
    happened: "A page that is not the panel’s own asked the panel for something, and was refused.",
    unchanged: "Nothing was done.",
  });
}

function malformed(channel: string, problem: string): Failure {
  return describeFailure("invalid-params", {
    happened: `The panel’s page asked for ${channel} in a way that is not allowed: ${problem}.`,
    unchanged: "Nothing was done.",
    remedy: "Reload the panel’s window; if it happens again, please report it.",
  });
}
