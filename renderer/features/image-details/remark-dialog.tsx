// Writes a remark on an image: what a label has no room for.
import type { ReactElement } from "react";
import { Label, TextArea, TextField } from "react-aria-components";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { MAX_REMARK_LENGTH } from "../../../electron/contract/limits.js";
import { remarkOnImage } from "../../commands.js";
import { ImageTextDialog } from "./image-text-dialog.js";

export function RemarkDialog({ image }: { readonly image: ImageRecord }): ReactElement {
  return (
    <ImageTextDialog
      title="Remark on the image"
      saveLabel="Save remark"
      initial={image.remark}
      onSave={(remark) => void remarkOnImage(image, remark)}
    >
      {(remark, setRemark) => (
        <TextField
          className="field"
          value={remark}
          onChange={setRemark}
          maxLength={MAX_REMARK_LENGTH}
          autoFocus
        >
          <Label>Remark</Label>
          <TextArea className="input remark-text" rows={5} placeholder="None" />
        </TextField>
      )}
    </ImageTextDialog>
  );
}
