// What this machine can do, the stores, and the agent itself: what "torpor doctor" tells.
import type { ReactElement } from "react";
import type { DoctorReport } from "../../../electron/contract/system.js";
import { useAnswer } from "../../answer.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { FailureAnswer } from "../../components/failure-text.js";
import { Icon } from "../../components/icon.js";
import { useConnection } from "../../stores/connection.js";
import { closeDialog } from "../../stores/dialogs.js";
import { fullMoment } from "../../words/moments.js";
import { formatBytes } from "../../words/quantities.js";
import { asSentences } from "../../words/sentences.js";

export function MachineDialog(): ReactElement {
  const system = useConnection((state) => state.system);
  const answer = useAnswer("agent:doctor.run", {});
  return (
    <DialogFrame title="Machine and stores" width="wide" onClose={closeDialog}>
      {system === null ? null : (
        <dl className="facts figures">
          <div>
            <dt>Machine</dt>
            <dd>
              {system.hostname}, {system.arch}, Linux {system.kernel}
            </dd>
          </div>
          <div>
            <dt>Agent</dt>
            <dd>
              version {system.version}, PID {system.pid}, since {fullMoment(system.startedAt)}
            </dd>
          </div>
          <div>
            <dt>Applications</dt>
            <dd className="mono">{system.applicationsFolder}</dd>
          </div>
        </dl>
      )}
      {answer.kind === "loading" ? (
        <p className="quiet">Asking the machine…</p>
      ) : answer.kind === "failed" ? (
        <FailureAnswer failure={answer.failure} />
      ) : (
        <Report report={answer.value} />
      )}
    </DialogFrame>
  );
}

function Report({ report }: { readonly report: DoctorReport }): ReactElement {
  return (
    <>
      <h3>Stores</h3>
      <ul className="check-list">
        {report.stores.map((store) => (
          <CheckItem
            key={store.path}
            ok={store.usable}
            title={<span className="mono">{store.path}</span>}
            text={
              store.problem ??
              (store.freeBytes === null || store.totalBytes === null
                ? null
                : `${formatBytes(store.freeBytes)} free of ${formatBytes(store.totalBytes)}`)
            }
          />
        ))}
      </ul>
      <h3>What this kernel can do</h3>
      <ul className="check-list">
        {missingFirst(report.features).map((feature) => (
          <CheckItem
            key={feature.name}
            ok={feature.ok}
            title={feature.name}
            text={asSentences([
              feature.neededFor === "" ? null : `for ${feature.neededFor}`,
              feature.detail,
              feature.ok ? null : feature.remedy,
            ])}
          />
        ))}
      </ul>
      {report.applicationProblems.length === 0 ? null : (
        <>
          <h3>Applications whose file has an error</h3>
          <ul className="check-list">
            {report.applicationProblems.map((problem) => (
              <CheckItem key={problem} ok={false} title={problem} text={null} />
            ))}
          </ul>
        </>
      )}
    </>
  );
}

/** What is missing is what one opens this for. */
function missingFirst(features: DoctorReport["features"]): DoctorReport["features"] {
  return features.toSorted((a, b) => Number(a.ok) - Number(b.ok));
}

function CheckItem({
  ok,
  title,
  text,
}: {
  readonly ok: boolean;
  readonly title: React.ReactNode;
  readonly text: string | null;
}): ReactElement {
  return (
    <li className={ok ? "check-good" : "check-bad"}>
      <Icon name={ok ? "check" : "warning"} />
      <div>
        <p>
          {title}
          <span className="visually-hidden">{ok ? ": available" : ": not available"}</span>
        </p>
        {text === null || text === "" ? null : <p className="quiet">{text}</p>}
      </div>
    </li>
  );
}
