// Writes a remark on an image: what a label has no room for.
import { useState, type ReactElement } from "react";
import { Form, Label, TextArea, TextField } from "react-aria-components";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { MAX_REMARK_LENGTH } from "../../../electron/contract/limits.js";
import { remarkOnImage } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { closeDialog } from "../../stores/dialogs.js";

export function RemarkDialog({ image }: { readonly image: ImageRecord }): ReactElement {
  const [remark, setRemark] = useState(image.remark ?? "");
  const save = (): void => {
    closeDialog();
    void remarkOnImage(image, remark.trim() === "" ? null : remark.trim());
  };
  return (
    <DialogFrame
      title="Remark on the image"
      onClose={closeDialog}
      actions={
        <>
          <ActionButton label="Keep as it is" onPress={closeDialog} />
          <ActionButton label="Save remark" tone="primary" type="submit" form="remark-form" />
        </>
      }
    >
      <Form
        id="remark-form"
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
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
      </Form>
    </DialogFrame>
  );
}
