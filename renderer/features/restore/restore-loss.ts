// What a restore would throw away: everything that the running life did since it was last captured.
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import type { ImageRecord } from "../../../electron/contract/image.js";

export type RestoreLoss =
  /** Nothing runs: nothing can be lost. */
  | { readonly kind: "nothing-runs" }
  | {
      readonly kind: "since-image" | "since-restore" | "since-start";
      /** The last moment that can be gone back to, or the life's start where there is none. */
      readonly since: string;
      /** The image that holds that moment. */
      readonly imageId: string | null;
      readonly processes: number | null;
      readonly memoryBytes: number | null;
    };

export function whatRestoreLoses(
  application: Pick<ApplicationRecord, "life" | "measurement">,
  current: Pick<ImageRecord, "id" | "createdAt"> | null,
): RestoreLoss {
  const { life, measurement } = application;
  if (life === null) return { kind: "nothing-runs" };
  const processes = measurement === null ? null : measurement.processes;
  const memoryBytes =
    measurement === null ? null : measurement.sizes.physicalBytes + measurement.sizes.virtualBytes;
  // An image from before this life began is the one that it was restored from: what the life did
  // began with that restore, however old the image.
  if (current !== null && Date.parse(current.createdAt) >= Date.parse(life.startedAt)) {
    return {
      kind: "since-image",
      since: current.createdAt,
      imageId: current.id,
      processes,
      memoryBytes,
    };
  }
  if (life.restoredFromImageId !== null) {
    return {
      kind: "since-restore",
      since: life.startedAt,
      imageId: life.restoredFromImageId,
      processes,
      memoryBytes,
    };
  }
  return { kind: "since-start", since: life.startedAt, imageId: null, processes, memoryBytes };
}
