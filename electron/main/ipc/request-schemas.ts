// How each request of the page is checked where it enters the main process. The page is sandboxed and
// ours, and still the least trusted part of the panel: it shows what other programs print.
import {
  applicationIdSchema,
  displayIdSchema,
  terminalSideSchema,
} from "../../contract/identifiers.js";
import { methods } from "../../contract/methods.js";
import {
  panelMethods,
  type PanelRequestChannel,
  type RequestParams,
} from "../../contract/panel-channels.js";
import { z } from "../../contract/validation.js";

/** Longest text of one write to a terminal: a paste of a long file; longer ones are cut by the page. */
const MAX_WRITE_LENGTH = 256 * 1024;
/** Longest write to a display: a text to paste. */
const MAX_DISPLAY_WRITE_BYTES = 2 * 1024 * 1024;
const MAX_CLIPBOARD_LENGTH = 4 * 1024 * 1024;

const none = z.strictObject({});
const ptyIdSchema = z.string().regex(/^pty-\d{1,12}$/);

export const themeChoiceSchema = z.enum(["system", "light", "dark"]);
export const layoutSchema = z
  .record(z.string().regex(/^[a-z-]{1,40}$/), z.number().min(0).max(1))
  .refine((layout) => Object.keys(layout).length <= 20);

const ownSchemas = {
  "connection:get-state": none,
  "connection:retry-now": none,
  "terminals:open": z.strictObject({
    applicationId: applicationIdSchema,
    cols: terminalSideSchema,
    rows: terminalSideSchema,
  }),
  "terminals:write": z.strictObject({
    terminalId: ptyIdSchema,
    data: z.string().max(MAX_WRITE_LENGTH),
  }),
  "terminals:resize": z.strictObject({
    terminalId: ptyIdSchema,
    cols: terminalSideSchema,
    rows: terminalSideSchema,
  }),
  "terminals:acknowledge": z.strictObject({
    terminalId: ptyIdSchema,
    count: z.number().int().min(0),
  }),
  "terminals:close": z.strictObject({ terminalId: ptyIdSchema }),
  "displays:open": z.strictObject({ applicationId: applicationIdSchema }),
  "displays:start": z.strictObject({ displayId: displayIdSchema }),
  "displays:write": z.strictObject({
    displayId: displayIdSchema,
    data: z.instanceof(Uint8Array).refine((data) => data.byteLength <= MAX_DISPLAY_WRITE_BYTES),
  }),
  "displays:acknowledge": z.strictObject({
    displayId: displayIdSchema,
    count: z.number().int().min(0),
  }),
  "displays:close": z.strictObject({ displayId: displayIdSchema }),
  "window:set-full-screen": z.strictObject({ fullScreen: z.boolean() }),
  "preferences:get": none,
  "preferences:choose-theme": z.strictObject({ theme: themeChoiceSchema }),
  "preferences:save-layout": z.strictObject({ layout: layoutSchema }),
  "clipboard:write-text": z.strictObject({ text: z.string().max(MAX_CLIPBOARD_LENGTH) }),
  "clipboard:paste-into-focus": none,
} as const;

const agentSchemas = Object.fromEntries(
  panelMethods.map((method) => [`agent:${method}`, methods[method].params]),
);

const schemas: Readonly<Record<string, z.ZodType>> = { ...ownSchemas, ...agentSchemas };

/** The request's parameters, checked; or what is wrong with them, in words. */
export function checkParams<C extends PanelRequestChannel>(
  channel: C,
  params: unknown,
): { ok: true; params: RequestParams<C> } | { ok: false; problem: string } {
  const schema = schemas[channel];
  if (schema === undefined) return { ok: false, problem: "no such channel" };
  const parsed = schema.safeParse(params);
  if (!parsed.success) return { ok: false, problem: z.prettifyError(parsed.error) };
  return { ok: true, params: parsed.data as RequestParams<C> };
}
