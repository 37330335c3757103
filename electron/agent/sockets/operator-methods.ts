/** What each method of the operator socket does: a thin layer over the agent's duties. */
import {
  fail,
  FailureError,
  MAX_DISPLAYS_PER_CLIENT,
  MAX_TERMINALS_PER_CLIENT,
  type Inspection,
  type MethodName,
  type MethodResult,
  type methods,
  type z,
} from "../../contract/index.js";
import { formatProblem } from "../applications/application-file.js";
import { inspectArguments } from "../helper/helper-arguments.js";
import type { CaptureOperations } from "../operations/capture.js";
import { explain } from "../operations/explain.js";
import type { ImageOperations } from "../operations/image-operations.js";
import type { ImagePictures } from "../operations/image-picture.js";
import type { LifeOperations } from "../operations/life-operations.js";
import type { RestoreOperations } from "../operations/restore.js";
import type { Services } from "../operations/services.js";
import type { CaptureScheduler } from "../policy/capture-scheduler.js";
import { checkPolicy } from "../policy/policy-check.js";
import { readPolicyFile, savePolicyFile } from "../policy/policy-file.js";
import type { Retention } from "../policy/retention.js";
import type { HibernatedApplication } from "../recovery/hibernate-marked.js";
import type { Recovery } from "../recovery/recovery.js";
import type { StoreScan } from "../recovery/scan-stores.js";
import type { SystemFacts } from "../system-facts.js";
import type { Client, ConnectionServices } from "./connection.js";

type Handler<M extends MethodName> = (
  params: z.output<(typeof methods)[M]["params"]>,
  client: Client,
) => MethodResult<M> | Promise<MethodResult<M>>;

type Handlers = { readonly [M in MethodName]: Handler<M> };

export interface Duties extends Services {
  readonly lives: LifeOperations;
  readonly captures: CaptureOperations;
  readonly restores: RestoreOperations;
  readonly images: ImageOperations;
  readonly pictures: ImagePictures;
  readonly scan: StoreScan;
  readonly facts: SystemFacts;
  readonly retention: Retention;
  readonly recovery: Recovery;
  readonly scheduler: CaptureScheduler;
  readonly hibernateMarked: (limitMs: number | undefined) => Promise<HibernatedApplication[]>;
}

const DEFAULT_OPERATIONS = 200;
const DEFAULT_OCCURRENCES = 200;
const DEFAULT_AUDIT_ENTRIES = 200;
const DEFAULT_WAIT_MS = 30_000;
const INSPECT_TIMEOUT_MS = 60_000;
const CHECK_TIMEOUT_MS = 30_000;
const ok = { ok: true } as const;

export function operatorMethods(duties: Duties): ConnectionServices {
  const handlers: Handlers = {
    ...stateMethods(duties),
    ...workMethods(duties),
    ...terminalMethods(duties),
    ...displayMethods(duties),
  };
  return {
    handle: async (method, params, client) => {
      const handler = handlers[method] as (params: unknown, client: Client) => unknown;
      return await handler(params, client);
    },
    disconnected: (client) => {
      duties.terminals.closeOwned(client);
      duties.displays.closeOwned(client);
      duties.measurer.setWatched(client, new Set());
    },
  };
}

/** Methods that tell what is. */
function stateMethods(duties: Duties) {
  const { applications, catalog, operations, stores, facts, images, scan, recovery } = duties;
  return {
    "system.info": () => facts.describe(stores.list()),
    "doctor.run": async () => {
      const check = await duties.helper.call({
        command: "check",
        args: ["check"],
        timeoutMs: CHECK_TIMEOUT_MS,
      });
      const storeRecords = stores.list();
      const applicationProblems = applications
        .list()
        .flatMap(({ problem, configured }) =>
          problem === null || !configured ? [] : [formatProblem(problem)],
        );
      return {
        ok:
          check.ok &&
          storeRecords.some((store) => store.usable) &&
          applicationProblems.length === 0,
        kernel: check.kernel,
        arch: check.arch,
        features: check.features.map((feature) => ({
          ...feature,
          detail: feature.detail ?? null,
          remedy: feature.remedy ?? null,
        })),
        stores: storeRecords,
        applicationProblems,
      };
    },
    "events.subscribe": ({ events }, client) => ({ events: [...client.subscribe(events ?? null)] }),
    "events.unsubscribe": (_params, client) => {
      client.unsubscribe();
      return ok;
    },
    "applications.list": () => ({
      applications: applications.list().map((each) => applications.record(each)),
    }),
    "applications.get": ({ app }) => ({
      application: applications.record(applications.require(app)),
    }),
    "applications.watch": ({ apps }, client) => {
      const watched = new Set(apps);
      client.watch(watched);
      duties.measurer.setWatched(client, watched);
      return ok;
    },
    "images.list": ({ app }) => {
      if (app !== undefined) {
        applications.require(app);
      }
      return { images: catalog.images.list(app) };
    },
    "images.get": ({ image }) => ({ image: images.resolve(image) }),
    "images.show": async ({ image, sections }) => {
      const record = images.resolve(image);
      const {
        type: _type,
        command: _command,
        ...description
      } = await images.show(record, sections ?? []);
      return { image: images.resolve(record.id), description };
    },
    "images.picture": async ({ image }) => ({
      picture: await duties.pictures.read(images.resolve(image)),
    }),
    "images.rescan": () => scan.run(),
    "operations.list": ({ app, active, limit }) => ({
      operations: operations.list(app ?? null, active ?? false, limit ?? DEFAULT_OPERATIONS),
    }),
    "operations.get": ({ operation }) => ({ operation: operations.get(operation) }),
    "operations.wait": async ({ operation, timeoutMs }) => ({
      operation: await operations.wait(operation, timeoutMs ?? DEFAULT_WAIT_MS),
    }),
    "inspect.run": async (params) => ({ inspection: await inspect(duties, params) }),
    "policy.read": ({ app }) => ({ file: readPolicyFile(applications.require(app)) }),
    "policy.check": (params) => {
      const chosen = "app" in params ? [applications.require(params.app)] : applications.list();
      const text = "app" in params ? params.text : undefined;
      return {
        checks: chosen.map((each) => checkPolicy(each, recovery, duties.scheduler, text)),
      };
    },
    "recovery.explain": ({ app, on }) => ({
      decision: recovery.explain(applications.require(app), on),
    }),
    "recovery.history": ({ app, limit }) => {
      if (app !== undefined) {
        applications.require(app);
      }
      return { occurrences: catalog.occurrences.list(app ?? null, limit ?? DEFAULT_OCCURRENCES) };
    },
    "audit.list": ({ app, limit }) => ({
      entries: catalog.audit.list(app ?? null, limit ?? DEFAULT_AUDIT_ENTRIES),
    }),
    "notices.list": () => ({ notices: catalog.notices.list() }),
    "notices.dismiss": ({ id }) => {
      catalog.notices.dismiss(id);
      duties.events.emit("notice.removed", { noticeId: id ?? null });
      return ok;
    },
  } satisfies Partial<Handlers>;
}

/** Methods that change something. */
function workMethods(duties: Duties) {
  const {
    applications,
    catalog,
    operations,
    lives,
    captures,
    restores,
    images,
    retention,
    recovery,
  } = duties;
  return {
    "applications.start": ({ app }) => ({ operation: lives.start(applications.require(app)) }),
    "applications.stop": ({ app, graceMs }) => ({
      operation: lives.stop(applications.require(app), graceMs),
    }),
    "capture.start": ({ app, label, hibernate, compress, keep, force }) => ({
      operation: captures.capture(applications.require(app), {
        label: label === undefined || label === "" ? null : label,
        compress: compress ?? null,
        keep: keep ?? null,
        hibernate: hibernate ?? false,
        force: force ?? false,
      }),
    }),
    "hibernate.marked": async ({ limitMs }) => ({
      applications: await duties.hibernateMarked(limitMs),
    }),
    "wake.start": ({ app, image }) => ({
      operation: restores.wake(
        applications.require(app),
        image === undefined ? null : images.resolve(image),
        "operator",
      ),
    }),
    "restore.start": ({ app, image, captureFirst }) => ({
      operation: restores.restore(
        applications.require(app),
        image === undefined ? null : images.resolve(image),
        captureFirst,
        "operator",
      ),
    }),
    "images.verify": ({ image }) => ({ operation: images.verify(images.resolve(image)) }),
    "images.delete": async ({ image }) => ({ image: await images.delete(images.resolve(image)) }),
    "images.move": ({ image, folder }) => ({
      operation: images.move(images.resolve(image), folder),
    }),
    "images.flatten": ({ image }) => ({ operation: images.flatten(images.resolve(image)) }),
    "images.label": ({ image, label }) => ({ image: images.label(images.resolve(image), label) }),
    "images.pin": ({ image, pinned }) => ({ image: images.pin(images.resolve(image), pinned) }),
    "images.remark": ({ image, remark }) => ({
      image: images.remark(images.resolve(image), remark),
    }),
    "policy.save": async ({ app, text, revision }) => {
      const file = await savePolicyFile(applications.require(app), text, revision);
      catalog.audit.add({
        action: "policy",
        applicationId: app,
        imageId: null,
        outcome: "succeeded",
      });
      return { file };
    },
    "recovery.run": ({ app, on }) => ({
      occurrence: recovery.recover(applications.require(app), on),
    }),
    "images.prune": ({ app, dryRun }) =>
      retention.prune(app === undefined ? null : applications.require(app), dryRun),
    "operations.cancel": ({ operation }) => ({ operation: operations.cancel(operation) }),
  } satisfies Partial<Handlers>;
}

function terminalMethods({ applications, terminals }: Duties) {
  return {
    "terminal.open": async ({ app, cols, rows, viewOnly }, client) => {
      if (terminals.countOf(client) >= MAX_TERMINALS_PER_CLIENT) {
        fail("too-many", {
          happened: `This client has ${MAX_TERMINALS_PER_CLIENT} terminals open already.`,
          remedy: "Close some of them.",
        });
      }
      return {
        terminal: await terminals.open(client, applications.require(app), {
          cols: cols ?? 0,
          rows: rows ?? 0,
          viewOnly: viewOnly ?? false,
        }),
      };
    },
    "terminal.input": ({ terminal, data }, client) => {
      terminals.require(client, terminal).input(Buffer.from(data, "base64"));
      return ok;
    },
    "terminal.resize": ({ terminal, cols, rows }, client) => {
      terminals.require(client, terminal).resize(cols, rows);
      return ok;
    },
    "terminal.close": ({ terminal }, client) => {
      terminals.require(client, terminal).close("closed", "The terminal was closed.", null);
      return ok;
    },
  } satisfies Partial<Handlers>;
}

function displayMethods({ applications, displays }: Duties) {
  return {
    "display.open": async ({ app }, client) => {
      if (displays.countOf(client) >= MAX_DISPLAYS_PER_CLIENT) {
        fail("too-many", {
          happened: `This client has ${MAX_DISPLAYS_PER_CLIENT} displays open already.`,
          remedy: "Close some of them.",
        });
      }
      return { display: await displays.open(client, applications.require(app)) };
    },
    "display.start": ({ display }, client) => {
      displays.require(client, display).start();
      return ok;
    },
    "display.input": ({ display, data }, client) => {
      displays.require(client, display).input(Buffer.from(data, "base64"));
      return ok;
    },
    "display.close": ({ display }, client) => {
      displays.require(client, display).close();
      return ok;
    },
  } satisfies Partial<Handlers>;
}

async function inspect(
  duties: Duties,
  params: { app: string } | { pid: number },
): Promise<Inspection> {
  let target: { capsuleId: string } | { pid: number };
  let subject: string;
  if ("app" in params) {
    const application = duties.applications.require(params.app);
    // Two tracers can't look at one tree at the same time.
    duties.operations.requireIdle(application);
    if (application.life === null) {
      fail("not-running", {
        happened: `${application.title} does not run, so there is nothing to inspect.`,
        applicationId: application.id,
      });
    }
    target = { capsuleId: application.life.capsule.id };
    subject = application.title;
  } else {
    target = params;
    subject = `process ${params.pid}`;
  }
  try {
    const {
      type: _type,
      command: _command,
      ...inspection
    } = await duties.helper.call({
      command: "inspect",
      args: inspectArguments(target),
      timeoutMs: INSPECT_TIMEOUT_MS,
    });
    return inspection;
  } catch (error) {
    throw explain(error, {
      happened: `Inspecting ${subject} failed`,
      unchanged: isGone(error) ? "" : "It runs on as before.",
    });
  }
}

/** Of what is not there nothing runs on. */
function isGone(error: unknown): boolean {
  return error instanceof FailureError && error.code === "no-such-process";
}
