// Which images an incremental one needs, and which need it.
import type { ImageRecord } from "../../../electron/contract/image.js";

type Linked = Pick<ImageRecord, "id" | "parentId">;
type ById = Readonly<Record<string, Linked | undefined>>;

/** The nearest first; the last one may have been deleted by hand. */
export function basesOf(image: Linked, byId: ById): string[] {
  const bases: string[] = [];
  for (let id = image.parentId; id !== null && !bases.includes(id);) {
    bases.push(id);
    id = byId[id]?.parentId ?? null;
  }
  return bases;
}

export function dependantsOf(image: Linked, byId: ById): string[] {
  return Object.values(byId)
    .filter((each) => each?.parentId === image.id)
    .map((each) => each?.id ?? "");
}
