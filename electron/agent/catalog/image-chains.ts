/**
 * Which images need which others: an incremental one can be restored only together with all that it builds
 * on, which have to lie in its folder.
 */
import { dirname } from "node:path";
import { MAX_CHAIN_IMAGES, type ImageId, type ImageRecord } from "../../contract/index.js";
import type { AgentEvents } from "../agent-events.js";
import type { Catalog } from "./catalog.js";
import type { ImageTable } from "./image-table.js";

/** What an image builds on, the nearest first, as far as the catalog knows. */
export function basesOf(images: ImageTable, image: ImageRecord): ImageRecord[] {
  const bases: ImageRecord[] = [];
  for (let id = image.parentId; id !== null && bases.length < MAX_CHAIN_IMAGES;) {
    const base = images.get(id);
    if (base === null) {
      break;
    }
    bases.push(base);
    id = base.parentId;
  }
  return bases;
}

/** All images that need this one or one that it needs, itself included, each after what it builds on. */
export function familyOf(images: ImageTable, image: ImageRecord): ImageRecord[] {
  const family = new Map<ImageId, ImageRecord>();
  let generation = [basesOf(images, image).at(-1) ?? image];
  while (generation.length > 0) {
    for (const each of generation) {
      family.set(each.id, each);
    }
    generation = generation
      .flatMap(({ id }) => images.childrenOf(id))
      .filter(({ id }) => !family.has(id));
  }
  return [...family.values()];
}

/** Why what it builds on can't be used: "builds on image …, which …". Null where nothing is wrong. */
export function chainFault(images: ImageTable, image: ImageRecord): string | null {
  let id = image.parentId;
  for (let depth = 0; id !== null; depth++) {
    const builds = `builds on image ${id.slice(0, 8)}`;
    const base = images.get(id);
    if (base === null) {
      return `${builds}, which is in no store`;
    }
    if (base.state === "missing") {
      return `${builds}, whose file ${base.path} is not there`;
    }
    if (base.state === "damaged") {
      return `${builds}, which is damaged`;
    }
    if (dirname(base.path) !== dirname(image.path)) {
      return `${builds}, which lies in another folder, ${dirname(base.path)}`;
    }
    if (depth > MAX_CHAIN_IMAGES) {
      return "builds on more images than there may be";
    }
    id = base.parentId;
  }
  return null;
}

/** Keeps the state of incremental images true when something becomes of one that they build on. */
export class ChainWatch {
  readonly #catalog: Catalog;
  readonly #events: AgentEvents;

  constructor(catalog: Catalog, events: AgentEvents) {
    this.#catalog = catalog;
    this.#events = events;
    events.listen((event, payload) => {
      const id =
        event === "image.added" || event === "image.changed"
          ? (payload as { image: ImageRecord }).image.id
          : event === "image.removed"
            ? (payload as { imageId: ImageId }).imageId
            : null;
      if (id !== null) {
        // When everybody has heard of this change: of two about one image the later has to come second.
        queueMicrotask(() => {
          this.#look(id);
        });
      }
    });
  }

  #look(id: ImageId): void {
    const { images } = this.#catalog;
    const image = images.get(id);
    for (const each of [...(image === null ? [] : [image]), ...images.childrenOf(id)]) {
      this.#settle(each);
    }
  }

  /** What is missing or damaged itself stays so, whatever it builds on. */
  #settle(image: ImageRecord): void {
    if (image.state !== "ok" && image.state !== "incomplete") {
      return;
    }
    const fault = chainFault(this.#catalog.images, image);
    const state = fault === null ? "ok" : "incomplete";
    if (state === image.state && (fault === null || fault === image.stateReason)) {
      return;
    }
    const changed: ImageRecord = { ...image, state, stateReason: fault };
    this.#catalog.images.put(changed);
    // Those that build on it hear of it in their turn.
    this.#events.emit("image.changed", { image: changed });
  }
}
