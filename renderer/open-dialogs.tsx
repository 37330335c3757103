// Draws the dialog that is open. One whose subject has gone meanwhile closes with it.
import type { ReactElement } from "react";
import { CaptureDialog } from "./features/capture/capture-dialog.js";
import { InspectionDialog } from "./features/capture/inspection-dialog.js";
import { StopDialog } from "./features/applications/stop-dialog.js";
import { ContentsDialog } from "./features/image-details/contents-dialog.js";
import { LabelDialog } from "./features/image-details/label-dialog.js";
import { RemarkDialog } from "./features/image-details/remark-dialog.js";
import { HistoryDialog } from "./features/policy/history-dialog.js";
import { PolicyDialog } from "./features/policy/policy-dialog.js";
import { MachineDialog } from "./features/machine/machine-dialog.js";
import { NoticeCentre } from "./features/notices/notice-centre.js";
import { DeleteImageDialog } from "./features/removal/delete-image-dialog.js";
import { RestoreDialog } from "./features/restore/restore-dialog.js";
import { ShortcutsDialog } from "./features/shortcuts/shortcuts-dialog.js";
import { useApplications } from "./stores/applications.js";
import { useDialogs } from "./stores/dialogs.js";
import { useImages } from "./stores/images.js";

export function OpenDialogs(): ReactElement | null {
  const open = useDialogs((dialog) => dialog);
  const image = useImages((state) =>
    open !== null && "imageId" in open ? (state.byId[open.imageId] ?? null) : null,
  );
  const application = useApplications((state) => {
    const id =
      open !== null && "applicationId" in open
        ? open.applicationId
        : (image?.applicationId ?? null);
    return id === null ? null : (state.byId[id] ?? null);
  });
  switch (open?.kind) {
    case undefined:
      return null;
    case "machine":
      return <MachineDialog />;
    case "notices":
      return <NoticeCentre />;
    case "shortcuts":
      return <ShortcutsDialog />;
    case "capture":
      return application === null ? null : <CaptureDialog application={application} />;
    case "inspection":
      return application === null ? null : <InspectionDialog application={application} />;
    case "history":
      return application === null ? null : <HistoryDialog application={application} />;
    case "policy":
      return application === null ? null : <PolicyDialog application={application} />;
    case "stop":
      return application === null ? null : <StopDialog application={application} />;
    case "image-contents":
      return image === null ? null : <ContentsDialog image={image} />;
    case "label-image":
      return image === null ? null : <LabelDialog image={image} />;
    case "remark-image":
      return image === null ? null : <RemarkDialog image={image} />;
    case "restore":
      return image === null || application === null ? null : (
        <RestoreDialog image={image} application={application} />
      );
    case "delete-image":
      return image === null || application === null ? null : (
        <DeleteImageDialog image={image} application={application} />
      );
  }
}
