// Gives an image a label, changes it or takes it away.
import type { ReactElement } from "react";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { labelImage } from "../../commands.js";
import { LabelField } from "../../components/label-field.js";
import { ImageTextDialog } from "./image-text-dialog.js";

export function LabelDialog({ image }: { readonly image: ImageRecord }): ReactElement {
  return (
    <ImageTextDialog
      title="Label of the image"
      saveLabel="Save label"
      initial={image.label}
      onSave={(label) => void labelImage(image, label)}
    >
      {(label, setLabel) => <LabelField value={label} onChange={setLabel} />}
    </ImageTextDialog>
  );
}
