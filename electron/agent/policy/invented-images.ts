/** Records of images that never were, for the tests of what decides by records alone. */
import { newImageMarks, type ImageRecord } from "../../contract/index.js";

let count = 0;

/** A whole, ordinary image; `ageMs` before `now`. */
export function inventImage(
  now: number,
  ageMs: number,
  change: Partial<ImageRecord> = {},
): ImageRecord {
  count += 1;
  const id = count.toString(16).padStart(8, "0").padEnd(32, "0");
  return {
    id,
    applicationId: "demo",
    createdAt: new Date(now - ageMs).toISOString(),
    trigger: "operator",
    label: null,
    state: "ok",
    stateReason: null,
    path: `/store/${id}.torpor`,
    sizes: { systemStateBytes: 1, physicalBytes: 1, virtualBytes: 0 },
    fileBytes: 1024 ** 2,
    pauseMs: 1,
    durationMs: 1,
    processes: 1,
    threads: 1,
    compress: "none",
    parentId: null,
    lineageParentId: null,
    life: 1,
    verifiedAt: null,
    restoredAt: null,
    notes: [],
    ...newImageMarks(),
    ...change,
  };
}
