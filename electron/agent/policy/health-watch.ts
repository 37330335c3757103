/**
 * Notices applications that run and do nothing: no heartbeat in time, or a probe that fails again and
 * again. It only tells; what is done about a hang is the recovery's.
 */
import { writeDuration, type ApplicationId, type HealthConfig } from "../../contract/index.js";
import type { Application, RunningLife } from "../applications/application.js";
import type { Services } from "../operations/services.js";
import type { Clock } from "./clock.js";
import { runProbe } from "./probes.js";

interface ProbeState {
  dueAt: number;
  running: boolean;
  failures: number;
}

interface Watched {
  readonly life: RunningLife;
  readonly health: HealthConfig;
  /** Since when it lives, as far as we have seen. */
  readonly since: number;
  /** When an operation last held it up: silence counts from there. */
  heldAt: number;
  readonly probes: Map<string, ProbeState>;
}

const TICK_MS = 500;

export class HealthWatch {
  readonly #services: Services;
  readonly #clock: Clock;
  readonly #hangs: (application: Application, reason: string) => void;
  readonly #watched = new Map<ApplicationId, Watched>();
  #cancelTick: () => void = () => undefined;
  #stopped = false;

  constructor(
    services: Services,
    clock: Clock,
    hangs: (application: Application, reason: string) => void,
  ) {
    this.#services = services;
    this.#clock = clock;
    this.#hangs = hangs;
  }

  start(): void {
    if (this.#stopped) {
      return;
    }
    for (const application of this.#services.applications.list()) {
      this.#look(application);
    }
    this.#cancelTick = this.#clock.after(TICK_MS, () => {
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTick();
  }

  #look(application: Application): void {
    const { life, config } = application;
    const health = config?.health;
    if (
      life === null ||
      health === undefined ||
      config?.recovery === undefined ||
      (health.heartbeat === undefined && Object.keys(health.probe).length === 0)
    ) {
      this.#watched.delete(application.id);
      return;
    }
    const now = this.#clock.now();
    const known = this.#watched.get(application.id);
    const watched =
      known?.life === life && known.health === health
        ? known
        : { life, health, since: now, heldAt: now, probes: new Map<string, ProbeState>() };
    this.#watched.set(application.id, watched);
    if (application.operationId !== null) {
      // Held still by us: it can neither beat nor answer.
      watched.heldAt = now;
      for (const probe of watched.probes.values()) {
        probe.failures = 0;
      }
      return;
    }
    const silent = this.#silence(watched, now);
    if (silent !== null) {
      this.#watched.delete(application.id);
      this.#hangs(application, silent);
      return;
    }
    this.#probe(application, watched, now);
  }

  /** Why its silence is a hang; null when it isn't one. */
  #silence({ life, health, since, heldAt }: Watched, now: number): string | null {
    const { heartbeat, grace } = health;
    if (heartbeat === undefined) {
      return null;
    }
    const last = this.#services.signals.lastHeartbeat(life.capsule.id);
    if (last !== null) {
      return Math.min(last.agoMs, now - heldAt) > heartbeat
        ? `it sent no heartbeat for ${writeDuration(heartbeat)}`
        : null;
    }
    const allowed = Math.max(grace, heartbeat);
    return now - since > allowed
      ? `it sent no heartbeat within ${writeDuration(allowed)} of its start`
      : null;
  }

  #probe(application: Application, watched: Watched, now: number): void {
    const { health, life } = watched;
    for (const [name, config] of Object.entries(health.probe)) {
      const state = watched.probes.get(name) ?? { dueAt: now, running: false, failures: 0 };
      watched.probes.set(name, state);
      if (state.running || now < state.dueAt) {
        continue;
      }
      state.running = true;
      void runProbe(config, application.config?.user ?? null).then((problem) => {
        state.running = false;
        state.dueAt = this.#clock.now() + config.interval;
        if (this.#stopped || application.life !== life || application.operationId !== null) {
          return;
        }
        if (problem === null) {
          state.failures = 0;
          return;
        }
        // While it starts, nothing is held against it.
        if (this.#clock.now() - watched.since >= health.grace) {
          state.failures += 1;
        }
        if (state.failures >= config.threshold) {
          this.#watched.delete(application.id);
          const times = state.failures === 1 ? "once" : `${state.failures} times in a row`;
          this.#hangs(application, `its probe "${name}" failed ${times}: ${problem}`);
        }
      });
    }
  }
}
