// What the panel remembers between two starts: the window's place, the theme, the zoom and the panes'
// shares. A file that can't be read or understood counts as none: it must never stop the panel.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { z } from "../contract/validation.js";
import { layoutSchema, themeChoiceSchema } from "./ipc/request-schemas.js";

const windowPlaceSchema = z.object({
  x: z.number().int().optional(),
  y: z.number().int().optional(),
  width: z.number().int().min(400).max(32_768),
  height: z.number().int().min(300).max(32_768),
  maximized: z.boolean(),
});
export type WindowPlace = z.infer<typeof windowPlaceSchema>;

const preferencesSchema = z.object({
  theme: themeChoiceSchema.catch("system"),
  zoomLevel: z.number().min(-4).max(6).catch(0),
  window: windowPlaceSchema.nullable().catch(null),
  layout: layoutSchema.catch({}),
});
export type Preferences = z.infer<typeof preferencesSchema>;

const DEFAULTS: Preferences = { theme: "system", zoomLevel: 0, window: null, layout: {} };

export class PreferencesFile {
  readonly #file: string;
  #current: Preferences;

  constructor(file: string) {
    this.#file = file;
    this.#current = readPreferences(file);
  }

  get current(): Preferences {
    return this.#current;
  }

  /** Changes some of it. Written by rename, so that a crash leaves the old file or the new one. */
  update(change: Partial<Preferences>): void {
    this.#current = { ...this.#current, ...change };
    const temporary = `${this.#file}.tmp`;
    try {
      writeFileSync(temporary, `${JSON.stringify(this.#current, null, 2)}\n`, { mode: 0o600 });
      renameSync(temporary, this.#file);
    } catch (error) {
      console.error(
        `The panel's preferences could not be written to ${this.#file}: ${String(error)}`,
      );
    }
  }
}

function readPreferences(file: string): Preferences {
  try {
    const parsed = preferencesSchema.safeParse(JSON.parse(readFileSync(file, "utf8")));
    return parsed.success ? parsed.data : DEFAULTS;
  } catch {
    return DEFAULTS;
  }
}
