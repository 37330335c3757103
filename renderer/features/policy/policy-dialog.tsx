// The application's file, to be read, checked and changed. It is edited as text, so comments stay; the agent
// checks it before it is written.
import { useEffect, useState, type ReactElement } from "react";
import { Label, TextArea, TextField } from "react-aria-components";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { toFailure } from "../../../electron/contract/failure.js";
import type { Decision } from "../../../electron/contract/occurrence.js";
import type { PolicyCheck, PolicyFile } from "../../../electron/contract/policy-check.js";
import { request } from "../../bridge.js";
import { ActionButton } from "../../components/action-button.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { closeDialog } from "../../stores/dialogs.js";
import { shortId } from "../../words/application-words.js";
import { asSentence } from "../../words/sentences.js";

export function PolicyDialog({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const { id: app } = application;
  const [file, setFile] = useState<PolicyFile | null>(null);
  const [text, setText] = useState("");
  const [check, setCheck] = useState<PolicyCheck | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    request("agent:policy.read", { app }).then(
      (read) => {
        setFile(read.file);
        setText(read.file.text);
      },
      (error: unknown) => setProblem(toFailure(error).message),
    );
  }, [app]);
  const examine = async (): Promise<void> => {
    try {
      const [first] = (await request("agent:policy.check", { app, text })).checks;
      setCheck(first ?? null);
      const wrong = first?.problem ?? null;
      setProblem(
        wrong === null
          ? null
          : `${wrong.line === null ? "" : `Line ${wrong.line}: `}${wrong.key ?? ""} ${wrong.message}`,
      );
    } catch (error) {
      setProblem(toFailure(error).message);
    }
  };
  const save = async (): Promise<void> => {
    if (file === null) return;
    try {
      await request("agent:policy.save", { app, text, revision: file.revision });
      closeDialog();
    } catch (error) {
      setProblem(toFailure(error).message);
    }
  };
  return (
    <DialogFrame
      title={`Policy of ${application.name}`}
      width="wide"
      onClose={closeDialog}
      actions={
        <>
          <ActionButton label="Check" onPress={() => void examine()} />
          <ActionButton
            label="Save"
            tone="primary"
            isDisabled={file === null || text === file.text}
            onPress={() => void save()}
          />
        </>
      }
    >
      <TextField className="field" value={text} onChange={setText}>
        <Label>{file?.file ?? application.file}</Label>
        <TextArea className="input mono policy-text" rows={18} spellCheck={false} />
      </TextField>
      <div role="status">
        {problem === null ? null : <p>{problem}</p>}
        {check === null || problem !== null ? null : (
          <>
            <p>At the next crash: {inWords(check.onCrash)}</p>
            <p>At the next hang: {inWords(check.onHang)}</p>
            <p>At the next start: {inWords(check.onStart)}</p>
          </>
        )}
      </div>
    </DialogFrame>
  );
}

const ACTIONS: Readonly<Record<Decision["action"], string>> = {
  restore: "Restore",
  start: "Start it cleanly",
  nothing: "Nothing is done",
  "give-up": "Give it up",
};

function inWords(decision: Decision | null): string {
  if (decision === null) return "Nothing is done.";
  const image = decision.imageId === null ? "" : ` image ${shortId(decision.imageId)}`;
  return asSentence(`${ACTIONS[decision.action]}${image}: ${decision.reason}`);
}
