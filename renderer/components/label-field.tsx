// Where a label is typed: the same for a new image and for one that is there.
import type { ReactElement } from "react";
import { Input, Label, TextField } from "react-aria-components";
import { MAX_LABEL_LENGTH } from "../../electron/contract/limits.js";

export function LabelField({
  value,
  onChange,
}: {
  readonly value: string;
  readonly onChange: (label: string) => void;
}): ReactElement {
  return (
    <TextField
      className="field"
      value={value}
      onChange={onChange}
      maxLength={MAX_LABEL_LENGTH}
      autoFocus
    >
      <Label>Label</Label>
      <Input className="input" placeholder="None" />
    </TextField>
  );
}
