import { beforeEach, describe, expect, it } from "vitest";
import type { ApplicationRecord } from "../../electron/contract/application.js";
import {
  applicationsStore,
  measureApplication,
  putApplication,
  removeApplication,
  replaceApplications,
  selectApplication,
} from "./applications.js";

const life = {
  number: 1,
  capsuleId: "a.1",
  initPid: 10,
  rootPid: 11,
  startedAt: "2026-11-23T10:00:00.000Z",
  restoredFromImageId: null,
  currentImageId: null,
};
const measurement = {
  sizes: { systemStateBytes: 1, physicalBytes: 2, virtualBytes: 3 },
  processes: 1,
  measuredAt: "2026-11-23T10:00:01.000Z",
};

function application(id: string, change: Partial<ApplicationRecord> = {}): ApplicationRecord {
  return {
    id,
    name: id.toUpperCase(),
    order: 0,
    file: `/etc/torpor/apps.d/${id}.toml`,
    state: "running",
    stateReason: null,
    stateSince: "2026-11-23T10:00:00.000Z",
    configProblem: null,
    surface: { kind: "terminal" },
    command: ["true"],
    cwd: null,
    user: null,
    start: "manual",
    life,
    lastExit: null,
    measurement: null,
    operationId: null,
    hibernatedImageId: null,
    imageCount: 0,
    newestImageId: null,
    ...change,
  };
}

beforeEach(() => {
  applicationsStore.setState(applicationsStore.getInitialState(), true);
});

describe("applications", () => {
  it("are in the order of their files, then by name, and the first is chosen", () => {
    replaceApplications([application("c"), application("a"), application("b", { order: -1 })]);
    expect(applicationsStore.getState()).toMatchObject({
      loaded: true,
      order: ["b", "a", "c"],
      selectedId: "b",
    });
  });

  it("keep the choice through a reload, and give it to the first when it is gone", () => {
    replaceApplications([application("a"), application("b")]);
    selectApplication("b");
    replaceApplications([application("b"), application("a")]);
    expect(applicationsStore.getState().selectedId).toBe("b");
    removeApplication("b");
    expect(applicationsStore.getState().selectedId).toBe("a");
  });

  it("can't choose what isn't there", () => {
    replaceApplications([application("a")]);
    selectApplication("nothing");
    expect(applicationsStore.getState().selectedId).toBe("a");
  });

  it("keep their measurement while the same life runs, and lose it with that life", () => {
    replaceApplications([application("a")]);
    measureApplication("a", measurement);
    putApplication(application("a", { state: "capturing" }));
    expect(applicationsStore.getState().byId.a?.measurement).toEqual(measurement);
    putApplication(application("a", { life: { ...life, capsuleId: "a.2" } }));
    expect(applicationsStore.getState().byId.a?.measurement).toBeNull();
  });

  it("ignore a measurement of one that is gone", () => {
    measureApplication("gone", measurement);
    expect(applicationsStore.getState().byId).toEqual({});
  });
});
