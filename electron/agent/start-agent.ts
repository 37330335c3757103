/**
 * Starts the agent: puts its duties together, in the order in which they can work, and ends them again. What
 * each of them does is in its folder.
 */
import { chmodSync } from "node:fs";
import { fail } from "../contract/index.js";
import { torporPaths, type TorporPaths } from "../contract/paths.js";
import { AgentEvents } from "./agent-events.js";
import { acquireAgentLock } from "./agent-lock.js";
import { Applications } from "./applications/applications.js";
import { ApplicationsFolder } from "./applications/applications-folder.js";
import { LifeWatch } from "./capsules/life-watch.js";
import { currentBootId } from "./capsules/process-identity.js";
import { Measurer } from "./capsules/measurer.js";
import { Catalog } from "./catalog/catalog.js";
import { ChainWatch } from "./catalog/image-chains.js";
import { ApplicationSignals } from "./control/application-signals.js";
import { Checkpoints } from "./control/checkpoints.js";
import { controlMethods } from "./control/control-methods.js";
import { ControlSockets } from "./control/control-sockets.js";
import { TicketBook } from "./control/ticket-book.js";
import { Helper } from "./helper/helper.js";
import { HelperRegister } from "./helper/helper-register.js";
import { findHelper } from "./helper/helper-program.js";
import type { Logger } from "./log.js";
import { makeFolder } from "./make-folder.js";
import { Notices } from "./notices.js";
import { CaptureOperations } from "./operations/capture.js";
import { ImageLocks } from "./operations/image-locks.js";
import { ImageOperations } from "./operations/image-operations.js";
import { LifeOperations } from "./operations/life-operations.js";
import { Operations } from "./operations/operations.js";
import { RestoreOperations } from "./operations/restore.js";
import type { Services } from "./operations/services.js";
import { CaptureScheduler } from "./policy/capture-scheduler.js";
import { HealthWatch } from "./policy/health-watch.js";
import { systemClock, type Clock } from "./policy/clock.js";
import { Retention } from "./policy/retention.js";
import { hibernateMarked } from "./recovery/hibernate-marked.js";
import { Recovery } from "./recovery/recovery.js";
import { Rediscovery } from "./recovery/rediscover.js";
import { StoreScan } from "./recovery/scan-stores.js";
import { StartUp, startOccurrence } from "./recovery/start-up.js";
import { readSettings } from "./settings.js";
import { operatorAccess } from "./sockets/operator-access.js";
import { operatorMethods } from "./sockets/operator-methods.js";
import { OperatorSocket } from "./sockets/operator-socket.js";
import { Stores } from "./stores/stores.js";
import { SystemFacts } from "./system-facts.js";
import { Displays } from "./display/displays.js";
import { ImagePictures } from "./operations/image-picture.js";
import { Terminals } from "./terminal/terminals.js";

export interface RunningAgent {
  readonly paths: TorporPaths;
  readonly readyMs: number;
  /** Ends the agent: unfinished operations are cancelled, capsules live on. */
  stop(): Promise<void>;
}

/** A capture that is cancelled needs a moment to put everything back. */
const CLOSE_TIMEOUT_MS = 15_000;

export interface AgentOptions {
  readonly environment: NodeJS.ProcessEnv;
  /** Where the agent's bundle lies; the helper is looked for from there. */
  readonly agentFolder: string;
  readonly version: string;
  readonly log: Logger;
  /** For tests that let hours pass in a moment. */
  readonly clock?: Clock;
}

/** @throws FailureError when the agent can't start here, in words for the admin. */
export async function startAgent({
  environment,
  agentFolder,
  version,
  log,
  clock = systemClock,
}: AgentOptions): Promise<RunningAgent> {
  const paths = torporPaths(environment);
  prepareFolders(paths);
  const lock = acquireAgentLock(paths.agentLockFile);
  const access = operatorAccess(environment);
  const settings = readSettings(paths.agentConfigFile, paths.defaultStore);
  if (settings.stores.includes(paths.defaultStore)) {
    Stores.prepareDefault(paths.defaultStore);
  }

  const events = new AgentEvents();
  const catalog = Catalog.open(paths.catalogFile);
  const register = new HelperRegister(paths.runFolder);
  const helper = new Helper(findHelper(environment, agentFolder), environment, register, log);
  const applications = new Applications(catalog, events, paths.applicationsFolder);
  const notices = new Notices(catalog.notices, events, log);
  const signals = new ApplicationSignals();
  const control = new ControlSockets(paths.capsulesFolder, signals, log);
  const services: Services = {
    applications,
    catalog,
    capsulesFolder: paths.capsulesFolder,
    control,
    displays: new Displays(log),
    events,
    helper,
    imageLocks: new ImageLocks(),
    lifeWatch: new LifeWatch(),
    log,
    measurer: new Measurer(applications, helper, events, log),
    notices,
    operations: new Operations(catalog, applications, events, log),
    signals,
    stores: new Stores(settings.stores),
    terminals: new Terminals(log),
    tickets: new TicketBook(),
  };
  new ChainWatch(catalog, events);
  const lives = new LifeOperations(services);
  const images = new ImageOperations(services);
  const retention = new Retention(services, images, settings, clock);
  const captures = new CaptureOperations(services, lives, retention);
  const restores = new RestoreOperations(services, lives, captures);
  const recovery = new Recovery(services, lives, restores, clock);
  const scheduler = new CaptureScheduler(services, captures, clock);
  const health = new HealthWatch(services, clock, (application, reason) => {
    recovery.hang(application, reason);
  });
  const scan = new StoreScan(services);
  const checkpoints = new Checkpoints(services, captures, scan);
  control.serve(controlMethods({ services, checkpoints, restores, images }));
  const facts = new SystemFacts(paths, helper.path, version);

  const folder = new ApplicationsFolder(paths.applicationsFolder, {
    changed: (application) => {
      applications.configure(application);
      if (application.problem !== null) {
        log.warn(
          {
            application: application.id,
            line: application.problem.line,
            key: application.problem.key,
          },
          "an application failed to load",
        );
      }
    },
    removed: (id) => {
      applications.unconfigure(id);
    },
    ignored: (file, reason) => {
      notices.add("warning", null, `${file} was left alone: ${reason}.`);
    },
  });
  folder.start();
  await register.endLeftovers(log);
  await images.finishRemovals();
  const bootId = currentBootId();
  const kind = startOccurrence(catalog.sessions.last(), bootId);
  const ended = await new Rediscovery(services, lives, scan).run();
  catalog.sessions.put({ bootId, clean: false });

  const methods = operatorMethods({
    ...services,
    lives,
    captures,
    restores,
    images,
    pictures: new ImagePictures(services, paths.runFolder),
    scan,
    facts,
    retention,
    recovery,
    scheduler,
    hibernateMarked: (limitMs) =>
      hibernateMarked(services, captures, {
        atOnce: settings.startAtOnce,
        limitMs: limitMs ?? settings.shutdownLimitMs,
      }),
  });
  const socket = new OperatorSocket(paths.agentSocket, methods, events, log);
  const readyAt = Date.now();
  await socket.listen(access);
  const readyMs = facts.markReady();

  if (catalog.setAside !== null) {
    notices.add(
      "error",
      null,
      `The catalog was damaged and is made anew from the images; the damaged one is kept as ${catalog.setAside}.`,
    );
  }
  scheduler.start();
  health.start();
  const startUp = new StartUp(services, lives, restores, recovery, settings.startAtOnce);
  const background = afterReady(services, scan, readyAt, () => startUp.run(kind, ended)).catch(
    (error: unknown) => {
      log.error(
        { error: error instanceof Error ? error.stack : String(error) },
        "work after the start failed",
      );
    },
  );

  return {
    paths,
    readyMs,
    stop: async () => {
      scheduler.stop();
      health.stop();
      recovery.stop();
      folder.stop();
      services.measurer.stop();
      socket.close();
      await services.operations.close(CLOSE_TIMEOUT_MS);
      await background;
      services.lifeWatch.stop();
      control.closeAll();
      catalog.sessions.put({ bootId, clean: true });
      catalog.close();
      lock.release();
    },
  };
}

/** What nobody has to wait for. */
async function afterReady(
  services: Services,
  scan: StoreScan,
  readyAt: number,
  bringBack: () => Promise<void>,
): Promise<void> {
  services.catalog.operations.trim();
  await scan.removeTemporaries(readyAt);
  await scan.run();
  await bringBack();
}

/** @throws FailureError with code `resource` when a folder can't be there: a file is in its place, say. */
function prepareFolders(paths: TorporPaths): void {
  try {
    makeFolders(paths);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    fail("resource", {
      happened: `The agent's folders can't be made: ${reason}.`,
      unchanged: "The agent was not started; applications that run are not affected.",
      remedy:
        paths.home === null
          ? "Make room for them, or set TORPOR_HOME to a folder that can be written to."
          : "Set TORPOR_HOME to a folder that can be written to.",
    });
  }
}

/** Images hold what applications had in memory: their folders are root's alone. */
function makeFolders(paths: TorporPaths): void {
  if (paths.home !== null) {
    makeFolder(paths.home, 0o755);
  }
  makeFolder(paths.applicationsFolder, 0o755);
  makeFolder(paths.libFolder, 0o700);
  chmodSync(paths.libFolder, 0o700);
  // Operators have to reach the socket in it; everything else in it is closed to them.
  makeFolder(paths.runFolder, 0o755);
  makeFolder(paths.capsulesFolder, 0o700);
}
