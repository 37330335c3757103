import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { moveFiles } from "./move-file.js";

let base: string;
let source: string;
const data = Buffer.from(Array.from({ length: 5_000_000 }, (_, i) => i % 251));

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "torpor-move-"));
  mkdirSync(join(base, "from"));
  source = join(base, "from", "image.torpor");
  writeFileSync(source, data);
});

afterEach(() => {
  rmSync(base, { recursive: true, force: true });
});

/** A folder on another file system than the temporary one, where the machine has such a thing. */
function otherFileSystem(): string | null {
  const candidates = ["/dev/shm", "/run", "/var/tmp"];
  const own = statfsSync(base).type;
  return candidates.find((path) => existsSync(path) && statfsSync(path).type !== own) ?? null;
}

describe.each([
  ["on the same file system", () => mkdtempSync(join(base, "to-"))],
  ["to another file system", () => mkdtempSync(join(otherFileSystem() ?? base, "torpor-move-"))],
])("moveFiles %s", (_where, makeTarget) => {
  let folder: string;

  beforeEach(() => {
    folder = makeTarget();
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it("moves the bytes and removes the source only after the commit", async () => {
    const commit = vi.fn(([target = ""]: readonly string[]) => {
      expect(readFileSync(target).equals(data)).toBe(true);
      expect(existsSync(source)).toBe(true);
    });
    const [target = ""] = await moveFiles([source], folder, { commit });
    expect(commit).toHaveBeenCalledOnce();
    expect(target).toBe(join(folder, "image.torpor"));
    expect(existsSync(source)).toBe(false);
    expect(readdirSync(folder)).toEqual(["image.torpor"]);
  });

  it("leaves no working set behind", async () => {
    writeFileSync(`${source}.ws`, "hint");
    const [target = ""] = await moveFiles([source], folder, { commit: vi.fn() });
    expect(existsSync(`${source}.ws`)).toBe(false);
    const taken = existsSync(`${target}.ws`) ? readFileSync(`${target}.ws`, "utf8") : null;
    expect(taken).toBe(statfsSync(base).type === statfsSync(folder).type ? "hint" : null);
  });

  it("leaves everything as it was when the target is taken", async () => {
    writeFileSync(join(folder, "image.torpor"), "other");
    await expect(moveFiles([source], folder, { commit: vi.fn() })).rejects.toMatchObject({
      code: "EEXIST",
    });
    expect(readFileSync(join(folder, "image.torpor"), "utf8")).toBe("other");
    expect(existsSync(source)).toBe(true);
    expect(readdirSync(folder)).toEqual(["image.torpor"]);
  });

  it("moves several together, or none", async () => {
    const second = join(base, "from", "second.torpor");
    writeFileSync(second, "second");
    writeFileSync(join(folder, "second.torpor"), "other");
    const both = [source, second];
    await expect(moveFiles(both, folder, { commit: vi.fn() })).rejects.toMatchObject({
      code: "EEXIST",
    });
    expect(readdirSync(folder)).toEqual(["second.torpor"]);
    expect(both.every((path) => existsSync(path))).toBe(true);

    rmSync(join(folder, "second.torpor"));
    const commit = vi.fn(() => {
      expect(both.every((path) => existsSync(path))).toBe(true);
    });
    const targets = [join(folder, "image.torpor"), join(folder, "second.torpor")];
    expect(await moveFiles(both, folder, { commit })).toEqual(targets);
    expect(commit).toHaveBeenCalledExactlyOnceWith(targets);
    expect(readFileSync(targets[1] ?? "", "utf8")).toBe("second");
    expect(both.some((path) => existsSync(path))).toBe(false);
  });

  it("leaves everything as it was when the commit fails", async () => {
    const commit = (): void => {
      throw new Error("no");
    };
    await expect(moveFiles([source], folder, { commit })).rejects.toThrow("no");
    expect(existsSync(source)).toBe(true);
    expect(readdirSync(folder)).toEqual([]);
  });
});

it("can be cancelled while it copies", async () => {
  const other = otherFileSystem();
  if (other === null) {
    // Nothing is copied within one file system, so there is nothing to cancel.
    return;
  }
  const folder = mkdtempSync(join(other, "torpor-move-"));
  try {
    const controller = new AbortController();
    const moved = moveFiles([source], folder, {
      commit: vi.fn(),
      signal: controller.signal,
      onProgress: () => {
        controller.abort();
      },
    });
    await expect(moved).rejects.toThrow("aborted");
    expect(readdirSync(folder)).toEqual([]);
    expect(existsSync(source)).toBe(true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
