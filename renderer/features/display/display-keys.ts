// Which keys a display leaves to the panel. All others go to the program, Tab, Esc and F6 among them.

type KeyFacts = Pick<KeyboardEvent, "ctrlKey" | "shiftKey" | "altKey" | "metaKey" | "code">;

/** leave: to the next pane, out of full screen; copy, paste: the texts that are copied here and there. */
export type DisplayKey = "program" | "leave" | "copy" | "paste";

export function ownerOfKey(key: KeyFacts): DisplayKey {
  if (!key.ctrlKey || key.altKey || key.metaKey) return "program";
  if (key.code === "F6") return "leave";
  if (key.shiftKey && key.code === "KeyC") return "copy";
  if (key.shiftKey && key.code === "KeyV") return "paste";
  return "program";
}
