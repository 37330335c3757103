// The present, for "3 min ago": one timer for all who show it, and none while the window is hidden.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";

export const clockStore = createStore<{ readonly now: number }>()(() => ({ now: Date.now() }));

/** The present, as often as the selector's value changes: select what is shown, not the milliseconds. */
export function useClock<T>(selector: (now: number) => T): T {
  return useStore(clockStore, (state) => selector(state.now));
}

/** Ticks once a second while the page can be seen; the returned function ends that. */
export function startClock(page: Document): () => void {
  let timer: number | undefined;
  const tick = (): void => clockStore.setState({ now: Date.now() });
  const follow = (): void => {
    window.clearInterval(timer);
    if (page.visibilityState === "hidden") return;
    tick();
    timer = window.setInterval(tick, 1000);
  };
  follow();
  page.addEventListener("visibilitychange", follow);
  return () => {
    window.clearInterval(timer);
    page.removeEventListener("visibilitychange", follow);
  };
}
