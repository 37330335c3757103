// Whether there is a display at hand that a window could open on.
import { connect } from "node:net";
import { join } from "node:path";

/**
 * A display that answers, as people name it (":0", "wayland-0"), or why there is none.
 * @returns {Promise<{name: string} | {reason: string}>}
 */
export async function findDisplay() {
  const { WAYLAND_DISPLAY: wayland, XDG_RUNTIME_DIR: runtime, DISPLAY: x11 } = process.env;
  if (wayland !== undefined && wayland !== "" && runtime !== undefined) {
    if (await answers({ path: join(runtime, wayland) })) return { name: wayland };
  }
  if (x11 === undefined || x11 === "") return { reason: "DISPLAY is not set" };
  const [, host = "", number = "0"] = /^(.*):(\d+)/.exec(x11) ?? [];
  const local = host === "" || host === "unix";
  const reachable = local
    ? (await answers({ path: `/tmp/.X11-unix/X${number}` })) ||
      (await answers({ path: `\0/tmp/.X11-unix/X${number}` }))
    : await answers({ host, port: 6000 + Number(number) });
  return reachable ? { name: x11 } : { reason: `nothing answers on DISPLAY ${x11}` };
}

/**
 * @param {import("node:net").NetConnectOpts} where
 * @returns {Promise<boolean>}
 */
function answers(where) {
  return new Promise((resolve) => {
    const socket = connect(where);
    socket.setTimeout(2000, () => socket.destroy());
    socket.on("connect", () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
  });
}
