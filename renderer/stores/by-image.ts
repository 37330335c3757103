// What has been read out of images, by image: so many stay at hand, the oldest go first.
import { useStore } from "zustand";
import { createStore, type StoreApi } from "zustand/vanilla";

export interface ByImageState<T> {
  /** By image, the one that came last at the end. */
  readonly byImage: ReadonlyMap<string, T>;
}

export interface ByImage<T> {
  readonly store: StoreApi<ByImageState<T>>;
  readonly put: (imageId: string, value: T) => void;
}

export function createByImage<T>(most: number): ByImage<T> {
  const store = createStore<ByImageState<T>>()(() => ({ byImage: new Map() }));
  const put = (imageId: string, value: T): void => {
    store.setState(({ byImage }) => {
      const next = new Map(byImage);
      next.delete(imageId);
      next.set(imageId, value);
      for (const oldest of next.keys()) {
        if (next.size <= most) break;
        next.delete(oldest);
      }
      return { byImage: next };
    });
  };
  return { store, put };
}

export function useByImage<T>({ store }: ByImage<T>, imageId: string): T | undefined {
  return useStore(store, ({ byImage }) => byImage.get(imageId));
}
