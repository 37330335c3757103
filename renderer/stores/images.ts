// The boot images as the agent last told them, newest first per application, and which one is chosen on
// each timeline.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";
import type { ImageRecord } from "../../electron/contract/image.js";

export interface ImagesState {
  readonly loaded: boolean;
  readonly byId: Readonly<Record<string, ImageRecord>>;
  /** Image ids by application, newest first. */
  readonly timelines: Readonly<Record<string, readonly string[]>>;
  readonly selectedIds: Readonly<Record<string, string>>;
}

export const imagesStore = createStore<ImagesState>()(() => ({
  loaded: false,
  byId: {},
  timelines: {},
  selectedIds: {},
}));

export function useImages<T>(selector: (state: ImagesState) => T): T {
  return useStore(imagesStore, selector);
}

const NO_IMAGES: readonly string[] = [];

export function timelineOf(state: ImagesState, applicationId: string): readonly string[] {
  return state.timelines[applicationId] ?? NO_IMAGES;
}

export function selectedImageOf(state: ImagesState, applicationId: string): ImageRecord | null {
  const id = state.selectedIds[applicationId];
  return id === undefined ? null : (state.byId[id] ?? null);
}

export function replaceImages(images: readonly ImageRecord[]): void {
  imagesStore.setState(({ selectedIds }) =>
    arranged(Object.fromEntries(images.map((image) => [image.id, image])), selectedIds),
  );
}

export function putImage(image: ImageRecord): void {
  imagesStore.setState(({ byId, timelines, selectedIds }) => {
    const before = byId[image.id];
    const images = { ...byId, [image.id]: image };
    // Only a new image, or one that changed hands or time, changes a timeline.
    return before?.applicationId === image.applicationId && before.createdAt === image.createdAt
      ? { byId: images, timelines, selectedIds }
      : arranged(images, selectedIds);
  });
}

export function removeImage(imageId: string): void {
  imagesStore.setState(({ byId, timelines, selectedIds }) => {
    const gone = byId[imageId];
    if (gone === undefined) return {};
    const { [imageId]: _removed, ...rest } = byId;
    const next = arranged(rest, selectedIds);
    if (selectedIds[gone.applicationId] !== imageId) return next;
    // The choice goes to the neighbour, so that the keyboard stays where it was.
    const before = timelines[gone.applicationId] ?? NO_IMAGES;
    const neighbour = before[before.indexOf(imageId) + 1] ?? before[before.indexOf(imageId) - 1];
    const { [gone.applicationId]: _choice, ...choices } = selectedIds;
    return {
      ...next,
      selectedIds:
        neighbour === undefined ? choices : { ...choices, [gone.applicationId]: neighbour },
    };
  });
}

export function selectImage(applicationId: string, imageId: string): void {
  imagesStore.setState(({ selectedIds }) => ({
    selectedIds: { ...selectedIds, [applicationId]: imageId },
  }));
}

function arranged(
  byId: Readonly<Record<string, ImageRecord>>,
  selectedIds: Readonly<Record<string, string>>,
): ImagesState {
  const timelines: Record<string, string[]> = {};
  const newestFirst = Object.values(byId).sort((a, b) =>
    a.createdAt === b.createdAt ? (a.id < b.id ? -1 : 1) : a.createdAt < b.createdAt ? 1 : -1,
  );
  for (const image of newestFirst) (timelines[image.applicationId] ??= []).push(image.id);
  return { loaded: true, byId, timelines, selectedIds };
}
