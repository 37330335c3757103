/** Says in words what an application's policy is, and what would happen at the next crash and start. */
import {
  writeDuration,
  type ApplicationConfig,
  type ConfigProblem,
  type Decision,
  type PolicyCheck,
  type RecoveredOccurrence,
} from "../../contract/index.js";
import type { Application } from "../applications/application.js";
import { readApplicationText } from "../applications/application-file.js";
import type { Recovery } from "../recovery/recovery.js";
import { mebibytes } from "../stores/stores.js";
import type { CaptureScheduler } from "./capture-scheduler.js";

/** @param text an edited file to be checked instead of the one that holds */
export function checkPolicy(
  application: Application,
  recovery: Recovery,
  scheduler: CaptureScheduler,
  text: string | undefined,
): PolicyCheck {
  let { config, problem }: { config: ApplicationConfig | null; problem: ConfigProblem | null } =
    application;
  if (text !== undefined) {
    const read = readApplicationText(application.file, text);
    config = read.ok ? read.config : config;
    problem = read.ok ? null : read.problem;
  }
  const decide = (kind: RecoveredOccurrence): Decision | null =>
    config?.recovery === undefined ? null : recovery.explain(application, kind, config.recovery);
  const due = scheduler.nextDue(application);
  return {
    applicationId: application.id,
    problem,
    supervised: config?.recovery !== undefined,
    captures: config === null ? [] : capturesOf(config),
    keeps: config === null ? [] : keepsOf(config),
    health: config === null ? [] : healthOf(config),
    nextCaptureAt: due === null ? null : new Date(due).toISOString(),
    onCrash: decide("crash"),
    onHang: decide("hang"),
    onStart: config?.recovery?.["at-start"] === "nothing" ? null : decide("start-up"),
  };
}

function capturesOf({ capture }: ApplicationConfig): string[] {
  const when = [
    ...(capture.every === undefined ? [] : [`every ${writeDuration(capture.every)}`]),
    ...(capture.calendar ?? []).map(({ text }) => `at ${text}`),
    ...(capture["when-idle"] === undefined
      ? []
      : [`when idle for ${writeDuration(capture["when-idle"])}`]),
    ...(capture["after-ready"] ? ["when it is ready"] : []),
    ...(capture["at-shutdown"] ? ["hibernated at the machine's shutdown"] : []),
    ...(capture["before-restore"] ? ["before every restore"] : []),
  ];
  return capture.incremental
    ? [
        ...(when.length === 0 ? ["only when somebody asks"] : when),
        `each holds what has changed, and at most ${capture["longest-chain"]} build on one another`,
      ]
    : when;
}

function keepsOf({ keep }: ApplicationConfig): string[] {
  const { count, ages, bytes, policy } = keep;
  const ladder = Object.entries(ages ?? {}).flatMap(([rung, upTo]) =>
    upTo === undefined ? [] : [`${rung} for ${writeDuration(upTo)}`],
  );
  const bounds = [
    ...(count === undefined ? [] : [`the newest ${count}`]),
    ...ladder,
    ...(bytes === undefined ? [] : [`as far as they fit into ${mebibytes(bytes)}`]),
  ];
  return [
    ...(policy === "replace" ? ["a new image replaces the one before it"] : []),
    ...(bounds.length === 0 && policy === "keep" ? ["all of them"] : bounds),
  ];
}

function healthOf({ health }: ApplicationConfig): string[] {
  return [
    ...(health.heartbeat === undefined
      ? []
      : [`a heartbeat every ${writeDuration(health.heartbeat)}`]),
    ...Object.entries(health.probe).map(
      ([name, probe]) =>
        `the probe "${name}" every ${writeDuration(probe.interval)}, ${probe.threshold} failures are a hang`,
    ),
  ];
}
