// A process tree as a table.
import type { ReactElement } from "react";

export interface ProcessRow {
  readonly pid: number;
  readonly parentPid: number;
  readonly threads: number;
  readonly command: string;
}

export function ProcessTable({
  processes,
}: {
  readonly processes: readonly ProcessRow[];
}): ReactElement {
  return (
    <div className="table-frame">
      <table className="process-table figures">
        <caption className="visually-hidden">Processes of the tree</caption>
        <thead>
          <tr>
            <th scope="col">PID</th>
            <th scope="col">Parent</th>
            <th scope="col">Threads</th>
            <th scope="col">Command</th>
          </tr>
        </thead>
        <tbody>
          {processes.map((process) => (
            <tr key={process.pid}>
              <td>{process.pid}</td>
              <td>{process.parentPid}</td>
              <td>{process.threads}</td>
              <td className="mono clipped" title={process.command}>
                {process.command}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
