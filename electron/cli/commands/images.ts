/** `torpor images` and `torpor image show|verify|delete|move|flatten|label|pin|unpin|note`. */
import { resolve } from "node:path";
import type { ImageDescription, ImageRecord, ImageSection } from "../../contract/index.js";
import { argument, flag, textOption, type Command } from "../command.js";
import { confirm } from "../confirm.js";
import type { Output, Style } from "../output.js";
import { outline } from "../outline.js";
import { milliseconds, shortId, size, time } from "../quantities.js";
import { runOperation } from "../run-operation.js";
import { textTable } from "../text-table.js";
import { writePicture } from "../write-picture.js";

const imageArgument = { name: "ID", kind: "image" } as const;

export const imageCommands: readonly Command[] = [
  {
    name: "images",
    summary: "List the boot images of an application, newest first",
    arguments: [{ name: "APP", kind: "application" }],
    options: {},
    details:
      "The image where the application stands is marked with *. AFTER is the point before it on its branch. An\nincremental image needs the one in the column BUILDS ON, which is there when any image builds on another.",
    async run(invocation, { agent, output }) {
      const client = await agent();
      const app = argument(invocation, 0);
      const [{ images }, { application }] = await Promise.all([
        client.call("images.list", { app }),
        client.call("applications.get", { app }),
      ]);
      output.data({ images });
      if (images.length === 0) {
        output.line(`${application.name} has no images yet. Take one with: torpor capture ${app}`);
        return 0;
      }
      const current = application.life?.currentImageId ?? application.hibernatedImageId;
      for (const line of imageTable(images, current, output)) {
        output.line(line);
      }
      return 0;
    },
  },
  {
    name: "image show",
    summary: "Print what a boot image says of itself",
    arguments: [imageArgument],
    options: {
      tree: { type: "boolean", help: "its processes and threads" },
      memory: { type: "boolean", help: "its address spaces" },
      files: { type: "boolean", help: "its open files" },
      picture: {
        type: "string",
        value: "FILE",
        help: "write what the application showed: PNG of a display, SVG of a terminal",
      },
    },
    async run(invocation, { agent, output }) {
      const client = await agent();
      const file = textOption(invocation, "picture");
      if (file !== undefined) {
        return await writePicture(client, argument(invocation, 0), resolve(file), output);
      }
      const sections = (["tree", "memory", "files"] satisfies ImageSection[]).filter((section) =>
        flag(invocation, section),
      );
      const shown = await client.call("images.show", { image: argument(invocation, 0), sections });
      output.data(shown);
      const { images } = await client.call("images.list", { app: shown.image.applicationId });
      describeImage(shown.image, shown.description, images, output);
      return 0;
    },
  },
  {
    name: "image verify",
    summary: "Read every block of a boot image and check it",
    arguments: [imageArgument],
    options: {},
    async run(invocation, { agent, output }) {
      const client = await agent();
      const ended = await runOperation(client, output, () =>
        client.call("images.verify", { image: argument(invocation, 0) }),
      );
      output.data({ operation: ended });
      output.line(
        `Image ${shortId(ended.imageId)} is whole: ${size(ended.result?.bytes ?? 0)} read in ${milliseconds(ended.result?.durationMs)}.`,
      );
      return 0;
    },
  },
  {
    name: "image delete",
    summary: "Delete a boot image",
    arguments: [imageArgument],
    options: { yes: { type: "boolean", short: "y", help: "do not ask" } },
    async run(invocation, { agent, output }) {
      const client = await agent();
      const { image } = await client.call("images.get", { image: argument(invocation, 0) });
      const { application } = await client.call("applications.get", { app: image.applicationId });
      const hibernated = application.hibernatedImageId === image.id;
      const warnings = [
        ...(image.pinned ? ["It is pinned."] : []),
        ...(hibernated
          ? [`${application.name} is hibernated to it and could not be woken any more.`]
          : []),
      ];
      if (
        !flag(invocation, "yes") &&
        !(await confirm({
          question: [
            `Delete image ${shortId(image.id)} of ${time(image.createdAt)} (${size(image.fileBytes)})?`,
            ...warnings,
          ].join(" "),
          about: `Image ${shortId(image.id)} would be gone for good`,
        }))
      ) {
        output.warn("Nothing was changed.");
        return 6;
      }
      const deleted = await client.call("images.delete", { image: image.id });
      output.data(deleted);
      output.line(`Deleted image ${shortId(image.id)} (${size(image.fileBytes)}).`);
      return 0;
    },
  },
  {
    name: "image move",
    summary: "Move a boot image to another folder",
    arguments: [imageArgument, { name: "FOLDER", kind: "folder" }],
    options: {},
    details:
      "Images that build on one another are moved together: each needs the others in its folder.",
    async run(invocation, { agent, output }) {
      const client = await agent();
      const folder = resolve(argument(invocation, 1));
      const ended = await runOperation(client, output, () =>
        client.call("images.move", { image: argument(invocation, 0), folder }),
      );
      output.data({ operation: ended });
      output.line(`Image ${shortId(ended.imageId)} is now ${ended.result?.path ?? folder}.`);
      const along = ended.result?.movedAlong ?? [];
      if (along.length > 0) {
        const names = along.map(shortId).join(", ");
        output.line(`Moved with it, as they build on one another: ${names}.`);
      }
      return 0;
    },
  },
  {
    name: "image flatten",
    summary: "Make an incremental boot image whole, so that it needs no other",
    arguments: [imageArgument],
    options: {},
    details:
      "Writes it anew with all that it has from the images that it builds on. It keeps its id, label and place on\nthe timeline. Refused while another image builds on it: flatten the newest of a chain.",
    async run(invocation, { agent, output }) {
      const client = await agent();
      const ended = await runOperation(client, output, () =>
        client.call("images.flatten", { image: argument(invocation, 0) }),
      );
      output.data({ operation: ended });
      output.line(
        `Image ${shortId(ended.imageId)} builds on no other now (${size(ended.result?.bytes ?? 0)}).`,
      );
      return 0;
    },
  },
  {
    name: "image label",
    summary: "Give a boot image a label; without one, take it away",
    arguments: [imageArgument, { name: "LABEL", kind: "text", optional: true }],
    options: {},
    async run(invocation, { agent, output }) {
      const client = await agent();
      const labelled = await client.call("images.label", {
        image: argument(invocation, 0),
        label: invocation.positionals[1] ?? null,
      });
      output.data(labelled);
      output.line(
        `Image ${shortId(labelled.image.id)} is now ${labelled.image.label === null ? "without a label" : `labelled "${labelled.image.label}"`}.`,
      );
      return 0;
    },
  },
  ...([true, false] as const).map((pinned): Command => ({
    name: pinned ? "image pin" : "image unpin",
    summary: pinned
      ? "Keep a boot image whatever the rules say"
      : "Let the rules decide about a boot image again",
    arguments: [imageArgument],
    options: {},
    async run(invocation, { agent, output }) {
      const client = await agent();
      const changed = await client.call("images.pin", { image: argument(invocation, 0), pinned });
      output.data(changed);
      output.line(
        `Image ${shortId(changed.image.id)} is ${pinned ? "pinned" : "not pinned any more"}.`,
      );
      return 0;
    },
  })),
  {
    name: "image note",
    summary: "Write a remark on a boot image; without one, take it away",
    arguments: [imageArgument, { name: "TEXT", kind: "text", optional: true }],
    options: {},
    async run(invocation, { agent, output }) {
      const client = await agent();
      const changed = await client.call("images.remark", {
        image: argument(invocation, 0),
        remark: invocation.positionals[1] ?? null,
      });
      output.data(changed);
      output.line(
        changed.image.remark === null
          ? `Image ${shortId(changed.image.id)} has no remark any more.`
          : `Image ${shortId(changed.image.id)}: ${changed.image.remark}`,
      );
      return 0;
    },
  },
];

function imageTable(
  images: readonly ImageRecord[],
  current: string | null,
  output: Output,
): string[] {
  const chained = images.some(({ parentId }) => parentId !== null);
  return textTable(
    [
      { title: "" },
      { title: "IMAGE" },
      { title: "TIME" },
      { title: "TRIGGER", leaves: 6 },
      { title: "SYSTEM STATE", align: "right", leaves: 1 },
      { title: "PHYSICAL", align: "right", leaves: 3 },
      { title: "VIRTUAL", align: "right", leaves: 2 },
      { title: "FILE", align: "right", leaves: 8 },
      { title: "PAUSE", align: "right", leaves: 4 },
      { title: "AFTER", leaves: 5 },
      ...(chained ? [{ title: "BUILDS ON", leaves: 7 }] : []),
      { title: "STATE" },
      { title: "LABEL", shrinks: true },
    ],
    images.map((image) => [
      image.id === current ? "*" : "",
      shortId(image.id),
      time(image.createdAt),
      image.trigger,
      size(image.sizes.systemStateBytes),
      size(image.sizes.physicalBytes),
      size(image.sizes.virtualBytes),
      size(image.fileBytes),
      milliseconds(image.pauseMs),
      shortId(image.lineageParentId),
      ...(chained ? [shortId(image.parentId)] : []),
      {
        text: stateInWords(image),
        paint: (text: string) => output.style(styleOf(image), text),
      },
      image.label ?? "",
    ]),
    output.width,
  );
}

/** `ok`, or what is better or worse than that. */
function stateInWords(image: ImageRecord): string {
  const pin = image.pinned ? ", pinned" : "";
  if (image.state !== "ok") {
    return image.state + pin;
  }
  if (image.suspectFor.length > 0) {
    return `suspect (${image.suspectFor.join(", ")})${pin}`;
  }
  const well = image.healthyAt === null ? "ok" : "healthy";
  return (image.verifiedAt === null ? well : `${well}, verified`) + pin;
}

function styleOf(image: ImageRecord): Style {
  return image.state !== "ok" ? "red" : image.suspectFor.length > 0 ? "yellow" : "green";
}

/** "1f2e3d4c, and that on 0a1b2c3d" */
function describeChain(image: ImageRecord, images: readonly ImageRecord[]): string {
  const names: string[] = [];
  for (let id = image.parentId; id !== null && names.length <= images.length;) {
    const current: string = id;
    names.push(shortId(current));
    id = images.find((each) => each.id === current)?.parentId ?? null;
  }
  return names.length === 0 ? "no other image" : names.join(", which builds on ");
}

function describeImage(
  image: ImageRecord,
  description: ImageDescription,
  images: readonly ImageRecord[],
  output: Output,
): void {
  const dependants = images.filter(({ parentId }) => parentId === image.id);
  const rows: [string, string][] = [
    ["Image", image.id],
    ["Application", image.applicationId],
    ["Taken", `${time(image.createdAt)} (${image.trigger})`],
    ["Label", image.label ?? "–"],
    ["State", image.stateReason === null ? image.state : `${image.state}: ${image.stateReason}`],
    ["Verified", time(image.verifiedAt)],
    ["Known healthy", image.healthyAt === null ? "not yet" : `since ${time(image.healthyAt)}`],
    ...(image.suspectFor.length === 0
      ? []
      : [
          [
            "Suspect",
            `for ${image.suspectFor.join(", ")}; ${image.failures} of its lives failed`,
          ] as [string, string],
        ]),
    ["Pinned", image.pinned ? "yes" : "no"],
    ...(image.remark === null ? [] : [["Remark", image.remark] as [string, string]]),
    ["File", `${image.path} (${size(image.fileBytes)})`],
    ["System state", size(image.sizes.systemStateBytes)],
    ["Physical memory", size(image.sizes.physicalBytes)],
    ["Virtual memory", size(image.sizes.virtualBytes)],
    ["Pause", milliseconds(image.pauseMs)],
    ["Processes", String(description.processes)],
    ["After image", shortId(image.lineageParentId)],
    ["Builds on", describeChain(image, images)],
    ...(dependants.length === 0
      ? []
      : [["Needed by", dependants.map(({ id }) => shortId(id)).join(", ")] as [string, string]]),
    [
      "Machine",
      `${description.hostname ?? "–"}, kernel ${description.kernel}, ${description.arch}`,
    ],
    ["Picture", description.picture?.toUpperCase() ?? "none"],
    ["Format", String(description.formatVersion)],
  ];
  for (const [name, value] of rows) {
    output.line(`${output.style("bold", name.padEnd(16))} ${value}`);
  }
  for (const section of ["tree", "memory", "files"] as const) {
    if (description[section] !== undefined) {
      output.line();
      output.line(output.style("bold", section.charAt(0).toUpperCase() + section.slice(1)));
      for (const line of outline(description[section])) {
        output.line(`  ${line}`);
      }
    }
  }
}
