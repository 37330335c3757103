// What an operator can order, one function each. A command that can't be carried out says so in a notice,
// so that callers have nothing to catch.
import { toFailure } from "../electron/contract/failure.js";
import type { Compression } from "../electron/contract/identifiers.js";
import type { ImageRecord } from "../electron/contract/image.js";
import type { OperationRecord } from "../electron/contract/operation.js";
import type { Layout, ThemeChoice } from "../electron/contract/panel-channels.js";
import { adoptOperation } from "./agent-sync.js";
import { request } from "./bridge.js";
import { applicationsStore } from "./stores/applications.js";
import { putImage, removeImage } from "./stores/images.js";
import { addFailure, noticesStore, removeAllNotices, removeNotice } from "./stores/notices.js";
import { putPicture } from "./stores/pictures.js";
import { preferencesStore, setPreferences } from "./stores/preferences.js";

export function startApplication(app: string): Promise<void> {
  return begin(`Starting ${nameOf(app)}`, app, () => request("agent:applications.start", { app }));
}

export function stopApplication(app: string): Promise<void> {
  return begin(`Stopping ${nameOf(app)}`, app, () => request("agent:applications.stop", { app }));
}

export interface CaptureOptions {
  readonly label?: string;
  readonly compress?: Compression;
}

export function captureApplication(app: string, options: CaptureOptions = {}): Promise<void> {
  return begin(`Capturing ${nameOf(app)}`, app, () =>
    request("agent:capture.start", { app, ...options }),
  );
}

export function hibernateApplication(app: string): Promise<void> {
  return begin(`Hibernating ${nameOf(app)}`, app, () =>
    request("agent:capture.start", { app, hibernate: true }),
  );
}

export function wakeApplication(app: string): Promise<void> {
  return begin(`Waking ${nameOf(app)}`, app, () => request("agent:wake.start", { app }));
}

export function restoreImage(image: ImageRecord, captureFirst: boolean): Promise<void> {
  const app = image.applicationId;
  return begin(`Restoring ${nameOf(app)}`, app, () =>
    request("agent:restore.start", { app, image: image.id, captureFirst }),
  );
}

export function verifyImage(image: ImageRecord): Promise<void> {
  return begin(`Verifying an image of ${nameOf(image.applicationId)}`, image.applicationId, () =>
    request("agent:images.verify", { image: image.id }),
  );
}

export function flattenImage(image: ImageRecord): Promise<void> {
  return begin(`Making an image of ${nameOf(image.applicationId)} whole`, image.applicationId, () =>
    request("agent:images.flatten", { image: image.id }),
  );
}

export async function deleteImage(image: ImageRecord): Promise<void> {
  const title = `Deleting an image of ${nameOf(image.applicationId)}`;
  await attempt(title, image.applicationId, async () => {
    await request("agent:images.delete", { image: image.id });
    removeImage(image.id);
  });
}

export async function labelImage(image: ImageRecord, label: string | null): Promise<void> {
  const title = `Labelling an image of ${nameOf(image.applicationId)}`;
  await attempt(title, image.applicationId, async () => {
    putImage((await request("agent:images.label", { image: image.id, label })).image);
  });
}

export async function remarkOnImage(image: ImageRecord, remark: string | null): Promise<void> {
  const title = `Writing a remark on an image of ${nameOf(image.applicationId)}`;
  await attempt(title, image.applicationId, async () => {
    putImage((await request("agent:images.remark", { image: image.id, remark })).image);
  });
}

export async function pinImage(image: ImageRecord, pinned: boolean): Promise<void> {
  const title = `Pinning an image of ${nameOf(image.applicationId)}`;
  await attempt(title, image.applicationId, async () => {
    putImage((await request("agent:images.pin", { image: image.id, pinned })).image);
  });
}

/** What can't be read is not told: that an image is damaged or missing is told by its state. */
export async function loadPicture(imageId: string): Promise<void> {
  try {
    putPicture(imageId, (await request("agent:images.picture", { image: imageId })).picture);
  } catch (error) {
    if (toFailure(error).code !== "agent-unreachable") putPicture(imageId, "unread");
  }
}

export async function cancelOperation(operation: OperationRecord): Promise<void> {
  await begin(
    `Cancelling an operation on ${nameOf(operation.applicationId)}`,
    operation.applicationId,
    () => request("agent:operations.cancel", { operation: operation.id }),
  );
}

export async function dismissNotice(key: string): Promise<void> {
  const notice = noticesStore.getState().all.find((each) => each.key === key);
  removeNotice(key);
  if (notice?.agentNoticeId == null) return;
  const id = notice.agentNoticeId;
  await attempt("Dismissing a notice", null, () => request("agent:notices.dismiss", { id }));
}

export async function dismissAllNotices(): Promise<void> {
  const anyOfAgent = noticesStore.getState().all.some((notice) => notice.agentNoticeId !== null);
  removeAllNotices();
  if (anyOfAgent) {
    await attempt("Dismissing all notices", null, () => request("agent:notices.dismiss", {}));
  }
}

export async function retryConnection(): Promise<void> {
  await attempt("Connecting to the agent", null, () => request("connection:retry-now", {}));
}

export async function chooseTheme(theme: ThemeChoice): Promise<void> {
  setPreferences({ theme });
  await attempt("Choosing a theme", null, () => request("preferences:choose-theme", { theme }));
}

export async function saveLayout(change: Layout): Promise<void> {
  const layout = { ...preferencesStore.getState().layout, ...change };
  setPreferences({ layout });
  await attempt("Saving the layout", null, () => request("preferences:save-layout", { layout }));
}

export async function copyText(text: string): Promise<void> {
  await attempt("Copying", null, () => request("clipboard:write-text", { text }));
}

function nameOf(app: string): string {
  return applicationsStore.getState().byId[app]?.name ?? app;
}

function begin(
  title: string,
  app: string,
  order: () => Promise<{ operation: OperationRecord }>,
): Promise<void> {
  return attempt(title, app, async () => {
    adoptOperation((await order()).operation);
  });
}

async function attempt(
  title: string,
  app: string | null,
  work: () => Promise<unknown>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    addFailure(`${title} failed`, toFailure(error), app);
  }
}
