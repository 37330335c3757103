// The one file that touches window.torpor. Requests come back as values or as a thrown Failure.
import { describeFailure, FailureError } from "../electron/contract/failure.js";
import type {
  PanelEventChannel,
  PanelEvents,
  PanelRequestChannel,
  RequestParams,
  RequestResult,
  TorporBridge,
} from "../electron/contract/panel-channels.js";

declare global {
  interface Window {
    readonly torpor: TorporBridge;
  }
}

/** @throws FailureError with what went wrong, in words for an admin. */
export async function request<C extends PanelRequestChannel>(
  channel: C,
  params: RequestParams<C>,
): Promise<RequestResult<C>> {
  const answer = await window.torpor.request(channel, params).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FailureError(
      describeFailure("internal", {
        happened: `The panel’s main process did not answer: ${reason}.`,
        unchanged: "Nothing is known to have been done.",
        remedy: "Close the panel and open it again.",
      }),
    );
  });
  if (!answer.ok) throw new FailureError(answer.failure);
  return answer.value;
}

/** Hears an event; the returned function ends that. */
export function hear<C extends PanelEventChannel>(
  channel: C,
  listener: (payload: PanelEvents[C]) => void,
): () => void {
  return window.torpor.on(channel, listener);
}
