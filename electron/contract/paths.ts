/**
 * Where Torpor keeps things. With TORPOR_HOME all of it is under one folder; without, where the file
 * system hierarchy wants it.
 */
import { join, resolve } from "node:path";

export interface TorporPaths {
  /** TORPOR_HOME, absolute, or null. */
  readonly home: string | null;
  readonly applicationsFolder: string;
  /** Optional settings of the agent itself. */
  readonly agentConfigFile: string;
  readonly libFolder: string;
  readonly defaultStore: string;
  readonly catalogFile: string;
  readonly runFolder: string;
  readonly capsulesFolder: string;
  readonly agentSocket: string;
  readonly agentLockFile: string;
}

export function torporPaths(
  environment: Readonly<Record<string, string | undefined>>,
): TorporPaths {
  const setting = environment.TORPOR_HOME;
  const home = setting === undefined || setting === "" ? null : resolve(setting);
  const configFolder = home ?? "/etc/torpor";
  const libFolder = home === null ? "/var/lib/torpor" : join(home, "lib");
  const runFolder = home === null ? "/run/torpor" : join(home, "run");
  return {
    home,
    applicationsFolder: join(configFolder, "apps.d"),
    agentConfigFile: join(configFolder, "agent.toml"),
    libFolder,
    defaultStore: join(libFolder, "store"),
    catalogFile: join(libFolder, "catalog.sqlite"),
    runFolder,
    capsulesFolder: join(runFolder, "capsules"),
    agentSocket: join(runFolder, "agent.sock"),
    agentLockFile: join(runFolder, "agent.lock"),
  };
}
