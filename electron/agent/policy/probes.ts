/** Asks an application from outside whether it does its work. */
import { stat } from "node:fs/promises";
import { get } from "node:http";
import { connect } from "node:net";
import { writeDuration, type ProbeConfig } from "../../contract/index.js";
import { runProbeCommand } from "../helper/probe-command.js";

/** Null when it is well; else what is wrong, for people. Never rejects, and ends in time. */
export async function runProbe(probe: ProbeConfig, user: string | null): Promise<string | null> {
  try {
    if (probe.command !== undefined) {
      return await runProbeCommand(probe.command, user, probe.timeout);
    }
    if (probe.tcp !== undefined) {
      return await probeTcp(probe.tcp, probe.timeout);
    }
    if (probe.http !== undefined) {
      return await probeHttp(probe.http, probe.timeout);
    }
    return await probeFile(probe.file ?? "", probe["max-age"] ?? 0);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function probeTcp(address: string, timeoutMs: number): Promise<string | null> {
  const at = address.lastIndexOf(":");
  const host = address.slice(0, at).replace(/^\[|\]$/g, "");
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(address.slice(at + 1)) });
    const timer = setTimeout(() => {
      end(`no connection to ${address} within ${writeDuration(timeoutMs)}`);
    }, timeoutMs);
    const end = (problem: string | null): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(problem);
    };
    socket.once("connect", () => {
      end(null);
    });
    socket.once("error", (error) => {
      end(error.message);
    });
  });
}

function probeHttp(address: string, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const request = get(address, { agent: false }, (response) => {
      // Only the status counts; a body without an end must not keep the connection.
      response.destroy();
      const status = response.statusCode ?? 0;
      end(status >= 200 && status < 400 ? null : `${address} answered with status ${status}`);
    });
    const timer = setTimeout(() => {
      request.destroy();
      end(`no answer from ${address} within ${writeDuration(timeoutMs)}`);
    }, timeoutMs);
    const end = (problem: string | null): void => {
      clearTimeout(timer);
      resolve(problem);
    };
    request.once("error", (error) => {
      end(error.message);
    });
  });
}

async function probeFile(path: string, maxAgeMs: number): Promise<string | null> {
  const age = Date.now() - (await stat(path)).mtimeMs;
  return age > maxAgeMs ? `${path} was last written to ${Math.round(age / 1000)} s ago` : null;
}
