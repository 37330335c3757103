/** `torpor prune`: deletes the images that the applications' rules let go, and says which and why. */
import type { PruneEntry } from "../../contract/index.js";
import { flag, type Command } from "../command.js";
import { shortId, size, time } from "../quantities.js";
import { textTable } from "../text-table.js";

export const pruneCommand: Command = {
  name: "prune",
  summary: "Delete the boot images that the rules in [keep] let go",
  arguments: [{ name: "APP", kind: "application", optional: true }],
  options: {
    "dry-run": { type: "boolean", short: "n", help: "delete nothing; say what would go and why" },
  },
  details:
    "Without APP: of all applications. Never deleted are pinned images, those that another one builds on,\nthe newest, the newest that is known to be healthy, and those that are being used.",
  async run(invocation, { agent, output }) {
    const [app] = invocation.positionals;
    const dryRun = flag(invocation, "dry-run");
    const client = await agent();
    const pruned = await client.call("images.prune", {
      ...(app === undefined ? {} : { app }),
      dryRun,
    });
    output.data(pruned);
    const { entries, freedBytes, held } = pruned;
    for (const { image, reason } of held) {
      output.line(
        output.style(
          "dim",
          `Kept: ${shortId(image.id)} of ${image.applicationId}, ${time(image.createdAt)}; no rule asks for it, but ${reason.startsWith("image ") ? reason : `it ${reason}`}.`,
        ),
      );
    }
    if (entries.length === 0) {
      output.line(
        held.length === 0 ? "Nothing to delete: the rules keep every image." : "Nothing to delete.",
      );
      return 0;
    }
    for (const line of table(entries, output.width)) {
      output.line(line);
    }
    const gone = entries.filter(({ kept }) => kept === null).length;
    const images = gone === 1 ? "1 image" : `${gone} images`;
    output.line(
      dryRun
        ? `${images} would be deleted, ${size(freedBytes)}.`
        : `Deleted ${images}, ${size(freedBytes)}.`,
    );
    return gone === entries.length ? 0 : 6;
  },
};

function table(entries: readonly PruneEntry[], width: number | null): string[] {
  return textTable(
    [
      { title: "IMAGE" },
      { title: "APPLICATION" },
      { title: "TIME", leaves: 1 },
      { title: "FILE", align: "right", leaves: 2 },
      { title: "LABEL", shrinks: true, leaves: 3 },
      { title: "WHY" },
    ],
    entries.map(({ image, reason, kept }) => [
      shortId(image.id),
      image.applicationId,
      time(image.createdAt),
      size(image.fileBytes),
      image.label ?? "",
      kept === null ? reason : `${reason}; not deleted: ${kept}`,
    ]),
    width,
  );
}
