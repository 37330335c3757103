/** What each method of the control socket does, for the application at its other end and for no other. */
import {
  CONTROL_PROTOCOL_VERSION,
  controlEventKindSchema,
  fail,
  MAX_INHIBITIONS,
  type controlMethods as contract,
  type ControlMethodName,
  type ControlResult,
  type ImageRecord,
  type OwnImage,
  type z,
} from "../../contract/index.js";
import type { ImageOperations } from "../operations/image-operations.js";
import type { RestoreOperations } from "../operations/restore.js";
import type { Services } from "../operations/services.js";
import type { Checkpoints } from "./checkpoints.js";
import type { ControlClient, ControlHandler } from "./control-connection.js";
import type { ControlledLife } from "./controlled-life.js";

type Handlers = {
  readonly [M in ControlMethodName]: (
    params: z.output<(typeof contract)[M]["params"]>,
    client: ControlClient,
  ) => ControlResult<M> | Promise<ControlResult<M>>;
};

export interface ControlDuties {
  readonly services: Services;
  readonly checkpoints: Checkpoints;
  readonly restores: RestoreOperations;
  readonly images: ImageOperations;
}

const DEFAULT_IMAGES = 20;

export function controlMethods({
  services,
  checkpoints,
  restores,
  images,
}: ControlDuties): ControlHandler {
  const { catalog, operations, signals, stores, control } = services;
  const handlers: Handlers = {
    checkpoint: (params, { life }) => checkpoints.request(life, params),
    outcome: ({ ticket }, { life }) => checkpoints.outcome(life, ticket),
    images: ({ limit }, { life }) => ({
      images: catalog.images
        .list(life.application.id)
        .slice(0, limit ?? DEFAULT_IMAGES)
        .map(describeImage),
    }),
    restore: (params, { life }) => {
      const image =
        "image" in params
          ? ownImage(life, images.resolve(params.image))
          : imageByLabel(services, life, params.label);
      const { id } = restores.restore(life.application, image, false, "application");
      void operations.wait(id, RESTORE_WAIT_MS).then(({ error }) => {
        if (error !== null) {
          const { code, message } = error;
          control.notify(life.capsuleId, {
            kind: "restore-failed",
            imageId: image.id,
            code,
            message,
          });
        }
      });
      return { outcome: "restoring", imageId: image.id };
    },
    status: async (_params, { life }) => {
      const { application } = life;
      const { config } = application;
      const now = Date.now();
      return {
        protocolVersion: CONTROL_PROTOCOL_VERSION,
        application: application.id,
        life: life.number,
        restored: await checkpoints.restoration(life),
        policy: {
          keep: config?.keep.policy !== "replace",
          compress: config?.capture.compress ?? "none",
          everyMs: config?.capture.every ?? null,
          whenIdleMs: config?.capture["when-idle"] ?? null,
          afterReady: config?.capture["after-ready"] ?? false,
          atShutdown: config?.capture["at-shutdown"] ?? false,
        },
        lastImage: lastImage(services, life),
        freeBytes: stores.list().find((store) => store.usable)?.freeBytes ?? null,
        inhibitions: signals.inhibitions(life.capsuleId).map(({ reason, endsAt }) => ({
          reason,
          endsInMs: Math.max(0, endsAt - now),
        })),
      };
    },
    heartbeat: (_params, { life }) => {
      signals.heartbeat(life.capsuleId);
      return {};
    },
    ready: (_params, { life }) => {
      signals.ready(life.capsuleId);
      return {};
    },
    inhibit: ({ reason, timeoutMs }, { life }) => {
      if (signals.inhibitions(life.capsuleId).length >= MAX_INHIBITIONS) {
        fail("too-many", {
          happened: `${life.application.title} has ${MAX_INHIBITIONS} inhibitions in force already.`,
          remedy: "End some of them.",
        });
      }
      return { token: signals.inhibit(life.capsuleId, reason, timeoutMs).token };
    },
    allow: ({ token }, { life }) => ({ released: signals.allow(life.capsuleId, token) }),
    subscribe: async ({ events }, client) => {
      const kinds = events ?? controlEventKindSchema.options;
      const restoration = await checkpoints.restoration(client.life);
      client.subscribe(kinds);
      if (restoration !== null) {
        // After the answer, which names the events that follow.
        setImmediate(() => {
          client.notify({ kind: "restored", life: client.life.number, ...restoration });
        });
      }
      return { events: [...kinds], life: client.life.number, restored: restoration };
    },
    proceed: ({ token }, client) => ({ accepted: client.proceed(token) }),
  };
  return (method, params, client) => {
    const handler = handlers[method] as (params: unknown, client: ControlClient) => unknown;
    return handler(params, client);
  };
}

/** Longer than a restore of anything that is sensible; only a message hangs on it. */
const RESTORE_WAIT_MS = 60 * 60_000;

function describeImage(image: ImageRecord): OwnImage {
  const { id, createdAt, trigger, label, state, fileBytes } = image;
  return { imageId: id, createdAt, trigger, label, state, fileBytes };
}

function lastImage({ catalog }: Services, { application }: ControlledLife): OwnImage | null {
  const id = catalog.images.newestIdOf(application.id);
  const image = id === null ? null : catalog.images.get(id);
  return image === null ? null : describeImage(image);
}

/** Another application's images are none of its business, not even that they exist. */
function ownImage({ application }: ControlledLife, image: ImageRecord): ImageRecord {
  if (image.applicationId === application.id) {
    return image;
  }
  return fail("no-such-image", {
    happened: `${application.title} has no such image.`,
    unchanged: "It runs on.",
  });
}

function imageByLabel(
  { catalog }: Services,
  { application }: ControlledLife,
  label: string,
): ImageRecord {
  const image = catalog.images
    .list(application.id)
    .find((each) => each.label === label && each.state === "ok");
  return (
    image ??
    fail("no-such-image", {
      happened: `${application.title} has no image with the label "${label}" that could be restored.`,
      unchanged: "It runs on.",
      applicationId: application.id,
    })
  );
}
