// Gives an image a label, changes it or takes it away.
import { useState, type ReactElement } from "react";
import { Form } from "react-aria-components";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { labelImage } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { LabelField } from "../../components/label-field.js";
import { closeDialog } from "../../stores/dialogs.js";

export function LabelDialog({ image }: { readonly image: ImageRecord }): ReactElement {
  const [label, setLabel] = useState(image.label ?? "");
  const save = (): void => {
    closeDialog();
    void labelImage(image, label.trim() === "" ? null : label.trim());
  };
  return (
    <DialogFrame
      title="Label of the image"
      onClose={closeDialog}
      actions={
        <>
          <ActionButton label="Keep as it is" onPress={closeDialog} />
          <ActionButton label="Save label" tone="primary" type="submit" form="label-form" />
        </>
      }
    >
      <Form
        id="label-form"
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <LabelField value={label} onChange={setLabel} />
      </Form>
    </DialogFrame>
  );
}
