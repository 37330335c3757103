// F6 goes from pane to pane, as in other desktop programs: needed here above all, because a terminal
// keeps Tab for its program.

const FOCUSABLE =
  'button:not([disabled]), [tabindex="0"], textarea, input:not([disabled]), [role="listbox"]';

/** Focuses the pane after the one that has the focus; from nowhere, the first. */
export function focusNextPane(page: Document): void {
  const panes = [...page.querySelectorAll<HTMLElement>("[data-pane]")].filter(
    (pane) => entryOf(pane) !== null,
  );
  const current = panes.findIndex((pane) => pane.contains(page.activeElement));
  const next = panes[(current + 1) % Math.max(1, panes.length)];
  if (next !== undefined) entryOf(next)?.focus();
}

/** What was last chosen in a pane's list, or else its first control. */
function entryOf(pane: HTMLElement): HTMLElement | null {
  return (
    pane.querySelector<HTMLElement>('[role="option"][aria-selected="true"]') ??
    pane.querySelector<HTMLElement>(".xterm-helper-textarea, .display-screen canvas") ??
    pane.querySelector<HTMLElement>(FOCUSABLE)
  );
}
