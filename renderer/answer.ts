// Asks once for what a dialog shows, and tells how far that is: waiting, failed, or there.
import { useEffect, useState } from "react";
import { toFailure, type Failure } from "../electron/contract/failure.js";
import type {
  PanelRequestChannel,
  RequestParams,
  RequestResult,
} from "../electron/contract/panel-channels.js";
import { request } from "./bridge.js";

export type AskedFor<T> =
  | { readonly kind: "loading" }
  | { readonly kind: "failed"; readonly failure: Failure }
  | { readonly kind: "shown"; readonly value: T };

/** Asks when the component appears, and again when the parameters say something else. */
export function useAnswer<C extends PanelRequestChannel>(
  channel: C,
  params: RequestParams<C>,
): AskedFor<RequestResult<C>> {
  const [answer, setAnswer] = useState<AskedFor<RequestResult<C>>>({ kind: "loading" });
  // Compared by what they say: callers write them anew each time.
  const written = JSON.stringify(params);
  useEffect(() => {
    let stillWanted = true;
    const show = (next: AskedFor<RequestResult<C>>): void => {
      if (stillWanted) setAnswer(next);
    };
    request(channel, JSON.parse(written) as RequestParams<C>).then(
      (value) => show({ kind: "shown", value }),
      (error: unknown) => show({ kind: "failed", failure: toFailure(error) }),
    );
    return () => {
      stillWanted = false;
    };
  }, [channel, written]);
  return answer;
}
