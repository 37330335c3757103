// Asks for one text about an image: its label or its remark.
import { useState, type ReactElement } from "react";
import { Form } from "react-aria-components";
import { ActionButton } from "../../components/action-button.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { closeDialog } from "../../stores/dialogs.js";

export function ImageTextDialog({
  title,
  saveLabel,
  initial,
  onSave,
  children,
}: {
  readonly title: string;
  readonly saveLabel: string;
  readonly initial: string | null;
  /** Called once with the text, or null when nothing is left of it. */
  readonly onSave: (text: string | null) => void;
  /** The field. */
  readonly children: (value: string, onChange: (value: string) => void) => ReactElement;
}): ReactElement {
  const [text, setText] = useState(initial ?? "");
  return (
    <DialogFrame
      title={title}
      onClose={closeDialog}
      actions={
        <>
          <ActionButton label="Keep as it is" onPress={closeDialog} />
          <ActionButton label={saveLabel} tone="primary" type="submit" form="image-text-form" />
        </>
      }
    >
      <Form
        id="image-text-form"
        onSubmit={(event) => {
          event.preventDefault();
          closeDialog();
          onSave(text.trim() === "" ? null : text.trim());
        }}
      >
        {children(text, setText)}
      </Form>
    </DialogFrame>
  );
}
