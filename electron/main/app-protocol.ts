// Serves the renderer's bundle as app://panel/… so that the window has a real, secure origin of its
// own (file:// pages share one with every file on the disk), and so that every answer carries the
// content security policy.
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { protocol } from "electron";

export const PANEL_SCHEME = "app";
export const PANEL_HOST = "panel";
export const PANEL_ORIGIN = `${PANEL_SCHEME}://${PANEL_HOST}`;

/** Replaced in index.html by the nonce of the load; the same one is in the policy's header. */
const NONCE_PLACEHOLDER = "__CSP_NONCE__";

const MIME_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".woff2": "font/woff2",
  ".woff": "font/woff",
};

/**
 * The policy of one page load.
 *
 * - Style elements need the nonce: xterm.js and the accessibility library add style elements at run
 *   time, and get it through `renderer/nonce-styles.ts`.
 * - Style attributes are allowed: xterm.js colours true-colour cells with them. An attribute can load
 *   nothing here, since images and fonts come from this origin only.
 * - Images may be data: pictures of images, which the main process hands to the page as bytes, and the
 *   pointers that a display's program draws. Such a URL reaches nobody, and a picture runs no script.
 */
export function contentSecurityPolicy(nonce: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "style-src-attr 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}

/**
 * The file that a URL of ours names, or null for anything that isn't one: another host, a path that
 * leaves the folder, an encoding that doesn't decode, a kind of file that the bundle has none of.
 */
export function resolveBundleFile(bundleFolder: string, requestUrl: string): string | null {
  let pathname: string;
  try {
    const url = new URL(requestUrl);
    if (url.protocol !== `${PANEL_SCHEME}:` || url.host !== PANEL_HOST) return null;
    pathname = decodeURIComponent(url.pathname);
  } catch {
    return null;
  }
  if (pathname.includes("\0") || pathname.includes("\\")) return null;
  const wanted = pathname === "/" ? "/index.html" : pathname;
  const file = path.resolve(bundleFolder, `.${wanted}`);
  const inside = path.relative(bundleFolder, file);
  if (inside === "" || inside.startsWith("..") || path.isAbsolute(inside)) return null;
  return MIME_TYPES[path.extname(file)] === undefined ? null : file;
}

/** Must run before Electron is ready. */
export function registerPanelScheme(): void {
  protocol.registerSchemesAsPrivileged([
    {
      scheme: PANEL_SCHEME,
      privileges: { standard: true, secure: true, supportFetchAPI: false, codeCache: true },
    },
  ]);
}

export function setupAppProtocol(bundleFolder: string): void {
  protocol.handle(PANEL_SCHEME, async (request) => {
    const file = request.method === "GET" ? resolveBundleFile(bundleFolder, request.url) : null;
    if (file === null) return refusal(404);
    try {
      return await answer(file);
    } catch {
      return refusal(404);
    }
  });
}

async function answer(file: string): Promise<Response> {
  const extension = path.extname(file);
  const nonce = randomBytes(16).toString("base64");
  const bytes = await readFile(file);
  const body =
    extension === ".html"
      ? bytes.toString("utf8").replaceAll(NONCE_PLACEHOLDER, nonce)
      : new Uint8Array(bytes);
  return new Response(body, {
    headers: {
      "content-type": MIME_TYPES[extension] ?? "application/octet-stream",
      "content-security-policy": contentSecurityPolicy(nonce),
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
      "cache-control": "no-store",
    },
  });
}

function refusal(status: number): Response {
  return new Response(null, {
    status,
    headers: {
      "content-security-policy": "default-src 'none'",
      "x-content-type-options": "nosniff",
    },
  });
}
