// A capture with a label and a choice of compression.
import { useState, type ReactElement } from "react";
import { Form, Label, RadioButton, RadioField, RadioGroup } from "react-aria-components";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { compressionSchema, type Compression } from "../../../electron/contract/identifiers.js";
import { captureApplication } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { LabelField } from "../../components/label-field.js";
import { closeDialog } from "../../stores/dialogs.js";

const COMPRESSION_WORDS: Readonly<Record<Compression | "as-configured", string>> = {
  "as-configured": "As its file says",
  none: "None: fastest to restore",
  lz4: "LZ4: smaller, nearly as fast",
  zstd: "Zstandard: smallest",
};

export function CaptureDialog({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const [label, setLabel] = useState("");
  const [compression, setCompression] = useState("as-configured");
  const begin = (): void => {
    const chosen = compressionSchema.safeParse(compression);
    closeDialog();
    void captureApplication(application.id, {
      ...(label.trim() === "" ? {} : { label: label.trim() }),
      ...(chosen.success ? { compress: chosen.data } : {}),
    });
  };
  return (
    <DialogFrame
      title={`Capture ${application.name}`}
      onClose={closeDialog}
      actions={
        <>
          <ActionButton label="Not now" onPress={closeDialog} />
          <ActionButton
            label="Capture"
            icon="capture"
            tone="primary"
            type="submit"
            form="capture-form"
          />
        </>
      }
    >
      <Form
        id="capture-form"
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          begin();
        }}
      >
        <LabelField value={label} onChange={setLabel} />
        <RadioGroup className="field" value={compression} onChange={setCompression}>
          <Label>Compression</Label>
          {Object.entries(COMPRESSION_WORDS).map(([value, words]) => (
            <RadioField key={value} value={value}>
              <RadioButton className="radio">
                <span className="radio-dot" aria-hidden="true" />
                {words}
              </RadioButton>
            </RadioField>
          ))}
        </RadioGroup>
      </Form>
    </DialogFrame>
  );
}
