// Which keys a terminal leaves to the panel. All others go to the program, Tab and F6 among them.

type KeyFacts = Pick<KeyboardEvent, "ctrlKey" | "shiftKey" | "altKey" | "metaKey" | "code">;

/** With Ctrl and Shift: the panel's own commands, which programs hardly use in terminals. */
const WITH_CTRL_SHIFT = new Set(["KeyS", "KeyO", "KeyH", "KeyW", "KeyM", "KeyN", "KeyR"]);
const WITH_CTRL = new Set(["F6", "Minus", "Equal", "Digit0", "NumpadAdd", "NumpadSubtract"]);

export type TerminalKey = "program" | "panel" | "copy" | "paste";

export function ownerOfKey(key: KeyFacts): TerminalKey {
  if (!key.ctrlKey || key.altKey || key.metaKey) return "program";
  if (key.shiftKey) {
    if (key.code === "KeyC") return "copy";
    if (key.code === "KeyV") return "paste";
    // Ctrl and Plus is Ctrl, Shift and Equal on many keyboards.
    return WITH_CTRL_SHIFT.has(key.code) || WITH_CTRL.has(key.code) ? "panel" : "program";
  }
  return WITH_CTRL.has(key.code) ? "panel" : "program";
}
