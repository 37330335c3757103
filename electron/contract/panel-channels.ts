/**
 * What the window's page and the panel's main process say to each other: one map of requests from
 * channel to signature, one of events from channel to payload. Main, preload and renderer are typed by
 * them; nothing else crosses. Only types and names live here, so that the sandboxed preload stays small;
 * main validates every request where it enters.
 */
import type { EventName, EventPayload } from "./events.js";
import type { Failure } from "./failure.js";
import type { MethodName, MethodParams, MethodResult } from "./methods.js";

/** The methods of the operator socket that the panel's page may call, and no others. */
export const panelMethods = [
  "system.info",
  "doctor.run",
  "applications.list",
  "applications.start",
  "applications.stop",
  "applications.watch",
  "capture.start",
  "wake.start",
  "restore.start",
  "images.list",
  "images.show",
  "images.picture",
  "images.verify",
  "images.flatten",
  "images.delete",
  "images.label",
  "images.pin",
  "images.remark",
  "recovery.history",
  "policy.read",
  "policy.check",
  "policy.save",
  "operations.list",
  "operations.cancel",
  "inspect.run",
  "notices.list",
  "notices.dismiss",
] as const satisfies readonly MethodName[];
export type PanelMethod = (typeof panelMethods)[number];

/** The events of the operator socket that reach the page. Terminals come over a PTY instead. */
export const panelAgentEvents = [
  "application.changed",
  "application.removed",
  "application.measured",
  "image.added",
  "image.changed",
  "image.removed",
  "operation.changed",
  "occurrence.added",
  "occurrence.changed",
  "notice.added",
  "notice.removed",
] as const satisfies readonly EventName[];
export type PanelAgentEvent = (typeof panelAgentEvents)[number];

/** One event of the agent, as it reaches the page. */
export type AgentEventMessage = {
  [E in PanelAgentEvent]: { readonly event: E; readonly payload: EventPayload<E> };
}[PanelAgentEvent];

export type ConnectionState =
  | { readonly kind: "connecting"; readonly socketPath: string }
  | { readonly kind: "connected"; readonly socketPath: string; readonly since: string }
  | {
      readonly kind: "lost";
      readonly socketPath: string;
      /** Null where no connection has stood since the panel's start. */
      readonly since: string | null;
      readonly failure: Failure;
      readonly attempts: number;
      readonly nextAttemptAt: string;
    };

export type ThemeChoice = "system" | "light" | "dark";

/** Which share of the window each pane takes, by the pane's name; 0 to 1. */
export type Layout = Readonly<Record<string, number>>;

export interface PanelPreferences {
  readonly theme: ThemeChoice;
  readonly layout: Layout;
}

export interface DisplayHandle {
  readonly displayId: string;
}

export interface TerminalHandle {
  readonly terminalId: string;
}

/** What a menu entry asks the page to do. */
export type MenuCommand =
  | "capture"
  | "capture-with-options"
  | "hibernate"
  | "wake"
  | "start"
  | "stop"
  | "next-pane"
  | "show-notices"
  | "show-machine"
  | "show-shortcuts";

type AgentRequests = {
  [M in PanelMethod as `agent:${M}`]: (params: MethodParams<M>) => MethodResult<M>;
};

export interface PanelRequests extends AgentRequests {
  "connection:get-state": (params: Record<string, never>) => ConnectionState;
  /** Doesn't wait for the back-off's next attempt. */
  "connection:retry-now": (params: Record<string, never>) => null;
  "terminals:open": (params: {
    readonly applicationId: string;
    readonly cols: number;
    readonly rows: number;
  }) => TerminalHandle;
  "terminals:write": (params: { readonly terminalId: string; readonly data: string }) => null;
  "terminals:resize": (params: {
    readonly terminalId: string;
    readonly cols: number;
    readonly rows: number;
  }) => null;
  /** So many characters of output have been shown: what is unacknowledged is bounded. */
  "terminals:acknowledge": (params: {
    readonly terminalId: string;
    readonly count: number;
  }) => null;
  "terminals:close": (params: { readonly terminalId: string }) => null;
  /** A viewer of an application's display; nothing comes before it is started. */
  "displays:open": (params: { readonly applicationId: string }) => DisplayHandle;
  "displays:start": (params: { readonly displayId: string }) => null;
  "displays:write": (params: { readonly displayId: string; readonly data: Uint8Array }) => null;
  /** So many bytes of output have been taken: what is unacknowledged is bounded. */
  "displays:acknowledge": (params: { readonly displayId: string; readonly count: number }) => null;
  "displays:close": (params: { readonly displayId: string }) => null;
  /** The window covers all of the screen, or no longer. */
  "window:set-full-screen": (params: { readonly fullScreen: boolean }) => null;
  "preferences:get": (params: Record<string, never>) => PanelPreferences;
  "preferences:choose-theme": (params: { readonly theme: ThemeChoice }) => null;
  "preferences:save-layout": (params: { readonly layout: Layout }) => null;
  "clipboard:write-text": (params: { readonly text: string }) => null;
  /** Pastes into what has the focus, as the menu's Paste does; the page never reads the clipboard. */
  "clipboard:paste-into-focus": (params: Record<string, never>) => null;
}

export interface PanelEvents {
  "connection:state-changed": ConnectionState;
  "agent:event-received": AgentEventMessage;
  "terminals:output-received": { readonly terminalId: string; readonly data: string };
  "terminals:closed": { readonly terminalId: string; readonly exitCode: number };
  "displays:output-received": { readonly displayId: string; readonly data: Uint8Array };
  "displays:closed": { readonly displayId: string };
  "menu:command-chosen": { readonly command: MenuCommand };
}

export type PanelRequestChannel = keyof PanelRequests;
export type PanelEventChannel = keyof PanelEvents;
export type RequestParams<C extends PanelRequestChannel> = Parameters<PanelRequests[C]>[0];
export type RequestResult<C extends PanelRequestChannel> = ReturnType<PanelRequests[C]>;

/** Every answer is data: an exception that crosses a process loses all but its message. */
export type Answer<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure };

/** Channels of the panel's own. A record, so that the compiler misses none. */
const ownRequestChannels: Readonly<
  Record<Exclude<PanelRequestChannel, keyof AgentRequests>, true>
> = {
  "connection:get-state": true,
  "connection:retry-now": true,
  "terminals:open": true,
  "terminals:write": true,
  "terminals:resize": true,
  "terminals:acknowledge": true,
  "terminals:close": true,
  "displays:open": true,
  "displays:start": true,
  "displays:write": true,
  "displays:acknowledge": true,
  "displays:close": true,
  "window:set-full-screen": true,
  "preferences:get": true,
  "preferences:choose-theme": true,
  "preferences:save-layout": true,
  "clipboard:write-text": true,
  "clipboard:paste-into-focus": true,
};

const eventChannels: Readonly<Record<PanelEventChannel, true>> = {
  "connection:state-changed": true,
  "agent:event-received": true,
  "terminals:output-received": true,
  "terminals:closed": true,
  "displays:output-received": true,
  "displays:closed": true,
  "menu:command-chosen": true,
};

export const panelRequestChannels: ReadonlySet<string> = new Set([
  ...Object.keys(ownRequestChannels),
  ...panelMethods.map((method) => `agent:${method}`),
]);

export const panelEventChannels: ReadonlySet<string> = new Set(Object.keys(eventChannels));

/** What the preload puts on `window.torpor`. */
export interface TorporBridge {
  request<C extends PanelRequestChannel>(
    channel: C,
    params: RequestParams<C>,
  ): Promise<Answer<RequestResult<C>>>;
  /** Hears an event; the returned function ends that. */
  on<C extends PanelEventChannel>(
    channel: C,
    listener: (payload: PanelEvents[C]) => void,
  ): () => void;
}
