// What is wrong with an application's file: where, what, and what that means for it now.
import type { ReactElement } from "react";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import { copyText } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { Icon } from "../../components/icon.js";

export function ConfigurationProblem({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement | null {
  const problem = application.configProblem;
  if (problem === null) return null;
  const place = [problem.file, problem.line, problem.column]
    .filter((part) => part !== null)
    .join(":");
  return (
    <section className="configuration-problem" aria-label="Error in the application’s file">
      <Icon name="warning" />
      <div className="selectable">
        <p>
          <strong>The file of {application.name} has an error.</strong>{" "}
          {problem.key === null ? null : (
            <>
              <code>{problem.key}</code>:{" "}
            </>
          )}
          {problem.message}
        </p>
        <p className="quiet">
          {application.life === null
            ? "It can’t be started until the file is right; its images are as they were. "
            : "It runs on as it was last configured. "}
          Correct <code>{place}</code>; the agent reads it again by itself.
        </p>
      </div>
      <ActionButton
        label="Copy the place"
        icon="copy"
        iconOnly
        tone="bare"
        onPress={() => void copyText(place)}
      />
    </section>
  );
}
