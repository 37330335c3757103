// What the image's file itself says: its header, and the process tree that it holds.
import type { ReactElement } from "react";
import type { ImageDescription } from "../../../electron/contract/helper-output.js";
import type { ImageRecord } from "../../../electron/contract/image.js";
import { useAnswer } from "../../answer.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { FailureAnswer } from "../../components/failure-text.js";
import { Outline } from "../../components/outline.js";
import { ProcessTable } from "../../components/process-table.js";
import { closeDialog } from "../../stores/dialogs.js";
import { shortId } from "../../words/application-words.js";
import { summarizeProcesses } from "./process-summary.js";

export function ContentsDialog({ image }: { readonly image: ImageRecord }): ReactElement {
  const answer = useAnswer("agent:images.show", { image: image.id, sections: ["tree"] });
  return (
    <DialogFrame
      title={`Contents of image ${shortId(image.id)}`}
      width="wide"
      onClose={closeDialog}
    >
      {answer.kind === "loading" ? (
        <p className="quiet">Reading the image…</p>
      ) : answer.kind === "failed" ? (
        <FailureAnswer failure={answer.failure} />
      ) : (
        <Contents description={answer.value.description} />
      )}
    </DialogFrame>
  );
}

function Contents({ description }: { readonly description: ImageDescription }): ReactElement {
  const { tree, memory: _memory, files: _files, sizes: _sizes, ...header } = description;
  const shown = Object.entries(header).filter(([key]) => key !== "type" && key !== "command");
  const processes = summarizeProcesses(tree);
  return (
    <>
      {processes.length === 0 ? null : (
        <section className="contents-section">
          <h3>Process tree</h3>
          <ProcessTable processes={processes} />
        </section>
      )}
      <section className="contents-section">
        <h3>Header</h3>
        <Outline value={Object.fromEntries(shown)} openLevels={1} />
      </section>
      {tree === undefined ? null : (
        <section className="contents-section">
          <h3>System state</h3>
          <Outline value={tree} openLevels={0} />
        </section>
      )}
    </>
  );
}
