// How many pixels a rem is now: large screens and the zoom change it, and rows that are laid out by
// number have to follow.
import { useSyncExternalStore } from "react";

function read(): number {
  return Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("resize", changed);
  return () => window.removeEventListener("resize", changed);
}

export function useRootFontSize(): number {
  return useSyncExternalStore(subscribe, read);
}
