/** Who may use the operator socket: its owner, its group, and nobody else. */
import { readFileSync } from "node:fs";

export interface OperatorAccess {
  readonly uid: number;
  readonly gid: number;
}

const DEFAULT_GROUP = "torpor";
/** May do everything that root's group may; the file mode is the guard. */
export const SOCKET_MODE = 0o660;

/**
 * TORPOR_OPERATOR_UID makes one user the socket's owner (a checkout's `npm start` runs the panel as an
 * ordinary user); TORPOR_OPERATOR_GROUP names another group than `torpor`.
 * @throws Error in words for the admin when a setting names nobody.
 */
export function operatorAccess(
  environment: NodeJS.ProcessEnv,
  groupFile = "/etc/group",
): OperatorAccess {
  const uidSetting = environment.TORPOR_OPERATOR_UID ?? "";
  if (uidSetting !== "" && !/^\d{1,10}$/.test(uidSetting)) {
    throw new Error(`TORPOR_OPERATOR_UID must be a user's number, not "${uidSetting}"`);
  }
  const groupSetting = environment.TORPOR_OPERATOR_GROUP ?? "";
  return { uid: uidSetting === "" ? 0 : Number(uidSetting), gid: groupId(groupSetting, groupFile) };
}

function groupId(setting: string, groupFile: string): number {
  if (/^\d{1,10}$/.test(setting)) {
    return Number(setting);
  }
  const id = findGroup(setting === "" ? DEFAULT_GROUP : setting, groupFile);
  if (id !== null) {
    return id;
  }
  if (setting === "") {
    return 0;
  }
  throw new Error(
    `TORPOR_OPERATOR_GROUP names "${setting}", and there is no such group in ${groupFile}; its number works too`,
  );
}

function findGroup(name: string, groupFile: string): number | null {
  let text: string;
  try {
    text = readFileSync(groupFile, "utf8");
  } catch {
    return null;
  }
  for (const line of text.split("\n")) {
    const [group, , id] = line.split(":");
    if (group === name && id !== undefined && /^\d+$/.test(id)) {
      return Number(id);
    }
  }
  return null;
}
