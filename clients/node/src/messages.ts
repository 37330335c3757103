/** The answers and events of the control socket (docs/protocol.md), as this client hands them on. */

/** How a life that is not a clean start was begun. */
export interface Restoration {
  readonly imageId: string;
  /** "operator", "application", "crash", "hang", "start-up", …; null where no record of it is left. */
  readonly occurrence: string | null;
  /** Milliseconds from the taking of the image to its restore. */
  readonly elapsedMs: number;
}

/** What came of a checkpoint, by `outcome`. */
export type Outcome =
  /** The image is durable, and the application goes on. */
  | { readonly outcome: "saved"; readonly imageId: string; readonly pauseMs: number | null }
  /** This is a later life of the image: renew secrets and random generators. */
  | ({ readonly outcome: "restored" } & Restoration)
  | { readonly outcome: "pending" }
  /** No image; the application goes on. */
  | { readonly outcome: "failed"; readonly code: string; readonly message: string }
  | { readonly outcome: "unknown" }
  /** Not in a capsule, or nobody listens: nothing was done. */
  | { readonly outcome: "unavailable" };

export interface OwnImage {
  readonly imageId: string;
  readonly createdAt: string;
  readonly trigger: string;
  readonly label: string | null;
  readonly state: "ok" | "missing" | "damaged";
  readonly fileBytes: number;
}

export interface Status {
  readonly protocolVersion: number;
  readonly application: string;
  readonly life: number;
  readonly restored: Restoration | null;
  readonly policy: Readonly<Record<string, unknown>>;
  readonly lastImage: OwnImage | null;
  readonly freeBytes: number | null;
  readonly inhibitions: readonly { readonly reason: string; readonly endsInMs: number }[];
}

export interface BeforeCapture {
  readonly trigger: string;
  /** True: the application ends with this capture. */
  readonly stop: boolean;
}

/** In the life that goes on. `imageId` is null when the capture failed. */
export interface Captured {
  readonly imageId: string | null;
}

export type Event =
  | ({ readonly kind: "about-to-capture"; readonly token: string } & BeforeCapture)
  | { readonly kind: "captured"; readonly imageId: string }
  | { readonly kind: "capture-failed" | "restored" | "restore-failed" };

export interface Subscription {
  readonly life: number;
  readonly restored: Restoration | null;
}
