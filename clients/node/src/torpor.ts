/**
 * What an application uses. `checkpoint()` is like fork(): it resolves with "saved" in the application
 * that goes on, and with "restored" in every later life of the image. Outside of a capsule every method
 * is a quick no-op.
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Connection } from "./connection.js";
import { AgentUnreachableError, ConnectionLostError, UnavailableError } from "./errors.js";
import type {
  BeforeCapture,
  Captured,
  Event,
  Outcome,
  OwnImage,
  Restoration,
  Status,
  Subscription,
} from "./messages.js";

export interface TorporOptions {
  /** How long to look for the agent when the connection has ended, in milliseconds. Default: 30,000. */
  readonly reconnectMs?: number;
}

export interface CheckpointOptions {
  readonly label?: string;
  /** false: replaces the newest image that this application has asked for. Default: as configured. */
  readonly keep?: boolean;
  /** false: resolves with "pending" at once; `outcome(ticket)` tells the rest. */
  readonly wait?: boolean;
  /** 8 to 64 of letters, digits, "-" and "_". Default: random. */
  readonly ticket?: string;
  /** Ends the wait, not the capture. */
  readonly signal?: AbortSignal;
}

type Hook<T> = (event: T) => unknown;

const RETRY_MS = 50;

/** From the kernel: a generator in memory would give two lives of one image the same ticket. */
function newTicket(): string {
  const random = Buffer.alloc(16);
  const source = openSync("/dev/urandom", "r");
  try {
    readSync(source, random);
  } finally {
    closeSync(source);
  }
  return random.toString("hex");
}

/** True in a capsule whose control socket is there. */
export function isAvailable(): boolean {
  return ownSocket() !== null;
}

function ownSocket(): string | null {
  const path = process.env.TORPOR_SOCKET ?? "";
  return path !== "" && statSync(path, { throwIfNoEntry: false })?.isSocket() === true
    ? path
    : null;
}

export class Torpor {
  readonly #reconnectMs: number;
  readonly #beforeCapture = new Set<Hook<BeforeCapture>>();
  readonly #captured = new Set<Hook<Captured>>();
  readonly #restored = new Set<Hook<Restoration>>();
  #connection: Promise<Connection> | null = null;
  #life: number | null = null;
  #busy = 0;
  #closed = false;

  constructor(options: TorporOptions = {}) {
    this.#reconnectMs = options.reconnectMs ?? 30_000;
  }

  /** Called before every capture, whoever asked for it; it waits two seconds at most. Returns what ends that. */
  onBeforeCapture(hook: Hook<BeforeCapture>): () => void {
    return this.#add(this.#beforeCapture, hook);
  }

  /** Called in the life that goes on, also when the capture failed: reopen what was closed for it. */
  onCaptured(hook: Hook<Captured>): () => void {
    return this.#add(this.#captured, hook);
  }

  /** Called in a later life: reopen, and renew secrets and random generators. */
  onRestored(hook: Hook<Restoration>): () => void {
    return this.#add(this.#restored, hook);
  }

  #add<T>(hooks: Set<Hook<T>>, hook: Hook<T>): () => void {
    hooks.add(hook);
    // Hooks are only heard over a connection; outside of a capsule there is none.
    void this.#connect().catch(() => undefined);
    return () => {
      hooks.delete(hook);
    };
  }

  /** Asks for an image. A capture that fails is an outcome; what rejects is the way to the agent. */
  async checkpoint(options: CheckpointOptions = {}): Promise<Outcome> {
    const { signal, ticket = newTicket(), ...wishes } = options;
    signal?.throwIfAborted();
    const params = { ticket, ...wishes };
    this.#busy += 1;
    try {
      return await this.#available<Outcome>({ outcome: "unavailable" }, () =>
        this.#settle(params, signal),
      );
    } finally {
      this.#idle(await this.#connection?.catch(() => null));
    }
  }

  async #settle(params: { ticket: string }, signal?: AbortSignal): Promise<Outcome> {
    const { ticket } = params;
    for (;;) {
      try {
        return (await this.#exchange("checkpoint", params, signal)) as Outcome;
      } catch (error) {
        if (!(error instanceof ConnectionLostError)) {
          throw error;
        }
      }
      // A later life, an agent that was started anew, or a connection that had ended before: the
      // ticket tells. Asking again with the same ticket joins.
      await this.#findAgain(signal);
      const outcome = (await this.#ask("outcome", { ticket }, signal)) as Outcome;
      if (outcome.outcome !== "pending" && outcome.outcome !== "unknown") {
        return outcome;
      }
    }
  }

  /** What became of a ticket. */
  outcome(ticket: string): Promise<Outcome> {
    return this.#available<Outcome>(
      { outcome: "unavailable" },
      async () => (await this.#ask("outcome", { ticket })) as Outcome,
    );
  }

  /** The application's own images, newest first. */
  images(limit = 20): Promise<readonly OwnImage[]> {
    return this.#available<readonly OwnImage[]>([], async () => {
      const answer = (await this.#ask("images", { limit })) as { images: OwnImage[] };
      return answer.images;
    });
  }

  /** Asks to be put back to an own image; its id. This life ends soon after. */
  restore(which: { image: string } | { label: string }): Promise<string | null> {
    return this.#available<string | null>(null, async () => {
      const answer = (await this.#ask("restore", which)) as { imageId: string };
      return answer.imageId;
    });
  }

  status(): Promise<Status | null> {
    return this.#available<Status | null>(
      null,
      async () => (await this.#ask("status", {})) as Status,
    );
  }

  /** "I am alive." */
  async heartbeat(): Promise<void> {
    await this.#available(null, () => this.#ask("heartbeat", {}));
  }

  /** "My start-up is finished": a good moment for an image. */
  async ready(): Promise<void> {
    await this.#available(null, () => this.#ask("ready", {}));
  }

  /** Runs `work` while no capture is taken, for `timeoutMs` at most, unless one is forced. */
  async inhibited<T>(reason: string, work: () => Promise<T> | T, timeoutMs = 60_000): Promise<T> {
    const token = await this.#available<string | null>(null, async () => {
      const answer = (await this.#ask("inhibit", { reason, timeoutMs })) as { token: string };
      return answer.token;
    });
    try {
      return await work();
    } finally {
      if (token !== null) {
        await this.#available(null, () => this.#ask("allow", { token }));
      }
    }
  }

  /** Ends the connection; hooks are not called any more. */
  async close(): Promise<void> {
    this.#closed = true;
    const connection = await this.#connection?.catch(() => null);
    connection?.close();
  }

  async #available<T>(otherwise: T, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof UnavailableError) {
        return otherwise;
      }
      throw error;
    }
  }

  async #ask(method: string, params: object, signal?: AbortSignal): Promise<unknown> {
    try {
      return await this.#exchange(method, params, signal);
    } catch (error) {
      if (!(error instanceof ConnectionLostError)) {
        throw error;
      }
    }
    await this.#findAgain(signal);
    return this.#exchange(method, params, signal);
  }

  async #exchange(method: string, params: object, signal?: AbortSignal): Promise<unknown> {
    const connection = await this.#connect();
    this.#busy += 1;
    connection.ref();
    try {
      return await connection.call(method, params, signal);
    } finally {
      this.#idle(connection);
    }
  }

  #idle(connection: Connection | null | undefined): void {
    this.#busy -= 1;
    if (this.#busy === 0) {
      connection?.unref();
    }
  }

  #connect(): Promise<Connection> {
    this.#connection ??= this.#open().catch((error: unknown) => {
      this.#connection = null;
      throw error;
    });
    return this.#connection;
  }

  async #open(): Promise<Connection> {
    const path = ownSocket();
    if (path === null || this.#closed) {
      throw new UnavailableError("not in a capsule");
    }
    const connection = await Connection.open(
      path,
      (event) => {
        void this.#hear(connection, event);
      },
      () => {
        this.#connection = null;
        // Hooks want to hear of a restore at once, and not at the next request.
        void this.#findAgain().catch(() => undefined);
      },
    );
    const events = ["about-to-capture", "captured", "capture-failed"];
    const subscription = (await connection.call("subscribe", { events })) as Subscription;
    const before = this.#life;
    this.#life = subscription.life;
    if (before !== null && before !== subscription.life && subscription.restored !== null) {
      await runHooks(this.#restored, subscription.restored);
    }
    if (this.#busy === 0) {
      connection.unref();
    }
    return connection;
  }

  async #findAgain(signal?: AbortSignal): Promise<void> {
    const deadline = performance.now() + this.#reconnectMs;
    for (;;) {
      try {
        await this.#connect();
        return;
      } catch (error) {
        const retry = error instanceof UnavailableError || error instanceof ConnectionLostError;
        if (!retry || this.#closed) {
          throw error;
        }
        if (performance.now() >= deadline) {
          throw new AgentUnreachableError("the agent was not found again in time", {
            cause: error,
          });
        }
      }
      await delay(RETRY_MS, undefined, { ref: this.#busy > 0, ...(signal && { signal }) });
    }
  }

  async #hear(connection: Connection, event: Event): Promise<void> {
    switch (event.kind) {
      case "about-to-capture":
        await runHooks(this.#beforeCapture, { trigger: event.trigger, stop: event.stop });
        await connection.call("proceed", { token: event.token }).catch(() => undefined);
        break;
      case "captured":
        await runHooks(this.#captured, { imageId: event.imageId });
        break;
      case "capture-failed":
        await runHooks(this.#captured, { imageId: null });
        break;
      case "restored":
      case "restore-failed":
        break;
    }
  }
}

/** One after the other; one that fails does not keep the others from being called. */
async function runHooks<T>(hooks: ReadonlySet<Hook<T>>, event: T): Promise<void> {
  for (const hook of [...hooks]) {
    try {
      await hook(event);
    } catch (error) {
      process.emitWarning(
        `a hook failed: ${error instanceof Error ? error.message : String(error)}`,
        {
          type: "TorporWarning",
        },
      );
    }
  }
}
