import { describe, expect, it } from "vitest";
import { layOutLineage, type LineageGraph } from "./lineage-graph.js";

const image = (id: string, lineageParentId: string | null = null) => ({ id, lineageParentId });

/** One row as "lane; arriving; passing; leaving", with * for the trunk. */
function written(graph: LineageGraph): string[] {
  const lines = (of: readonly { lane: number; trunk: boolean }[]): string =>
    of.map((line) => `${line.lane}${line.trunk ? "*" : ""}`).join(",") || "-";
  return graph.rows.map(
    (row) =>
      `${row.imageId}@${row.lane}${row.trunk ? "*" : ""} from ${lines(row.arriving)} past ${lines(row.passing)} ${row.leaving}`,
  );
}

describe("layOutLineage", () => {
  it("has one lane for a life that was never restored", () => {
    const graph = layOutLineage([image("c", "b"), image("b", "a"), image("a")], "c");
    expect(written(graph)).toEqual([
      "c@0* from 0* past - down",
      "b@0* from 0* past - down",
      "a@0* from 0* past - none",
    ]);
    expect(graph).toMatchObject({ laneCount: 1, liveLine: true });
  });

  it("shows an old image that was restored as the trunk, and what came after it as a branch", () => {
    const graph = layOutLineage([image("c", "b"), image("b", "a"), image("a")], "a");
    expect(written(graph)).toEqual([
      "c@1 from - past 0* down",
      "b@1 from 1 past 0* down",
      "a@0* from 0*,1 past - none",
    ]);
    expect(graph.laneCount).toBe(2);
  });

  it("keeps the trunk in the first lane when the new branch has images of its own", () => {
    const graph = layOutLineage(
      [image("d", "a"), image("c", "b"), image("b", "a"), image("a")],
      "d",
    );
    expect(written(graph)).toEqual([
      "d@0* from 0* past - down",
      "c@1 from - past 0* down",
      "b@1 from 1 past 0* down",
      "a@0* from 0*,1 past - none",
    ]);
  });

  it("uses a lane again once its branch has ended", () => {
    const graph = layOutLineage(
      [image("e", "d"), image("x", "d"), image("d", "b"), image("y", "b"), image("b")],
      "e",
    );
    expect(graph.rows.map((row) => row.lane)).toEqual([0, 1, 0, 1, 0]);
    expect(graph.laneCount).toBe(2);
  });

  it("has no trunk when nothing runs", () => {
    const graph = layOutLineage([image("b", "a"), image("a")], null);
    expect(written(graph)).toEqual(["b@0 from - past - down", "a@0 from 0 past - none"]);
    expect(graph.liveLine).toBe(false);
  });

  it("cuts the line to an image that was deleted", () => {
    const graph = layOutLineage([image("c", "gone"), image("a")], null);
    expect(written(graph)).toEqual(["c@0 from - past - cut", "a@0 from - past - none"]);
  });

  it("starts clean lives of their own in the same lane", () => {
    const graph = layOutLineage([image("b"), image("a")], "b");
    expect(written(graph)).toEqual(["b@0* from 0* past - none", "a@0 from - past - none"]);
  });

  it("does not draw upwards when the clock was set back", () => {
    const graph = layOutLineage([image("a"), image("b", "a")], null);
    expect(written(graph)).toEqual(["a@0 from - past - none", "b@0 from - past - cut"]);
  });

  it("ignores a live image that the list doesn't have", () => {
    expect(layOutLineage([image("a")], "gone").liveLine).toBe(false);
    expect(layOutLineage([], "gone")).toEqual({ rows: [], laneCount: 1, liveLine: false });
  });
});
