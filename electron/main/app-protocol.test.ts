import { describe, expect, it, vi } from "vitest";

vi.mock("electron", () => ({ protocol: {} }));
const { contentSecurityPolicy, resolveBundleFile } = await import("./app-protocol.js");

const folder = "/opt/torpor/dist/renderer";

describe("resolveBundleFile", () => {
  it.each([
    ["app://panel/", "/opt/torpor/dist/renderer/index.html"],
    ["app://panel/assets/a.js", "/opt/torpor/dist/renderer/assets/a.js"],
    ["app://panel/assets/a.js?v=1", "/opt/torpor/dist/renderer/assets/a.js"],
    ["app://panel/../index.html", "/opt/torpor/dist/renderer/index.html"],
  ])("finds %s", (url, file) => {
    expect(resolveBundleFile(folder, url)).toBe(file);
  });

  it.each([
    "app://elsewhere/index.html",
    "file:///etc/passwd",
    "app://panel/..%2f..%2fpackage.json",
    "app://panel/%2e%2e%2f%2e%2e%2fmain/main.js",
    "app://panel/..%5c..%5cmain.js",
    "app://panel/a%00.js",
    "app://panel/%E0%A4%A.js",
    "app://panel/assets/a.js.map",
    "app://panel/assets",
    "not a url",
  ])("refuses %s", (url) => {
    expect(resolveBundleFile(folder, url)).toBeNull();
  });
});

describe("contentSecurityPolicy", () => {
  it("allows nothing by default, and no code but the bundle's", () => {
    const policy = contentSecurityPolicy("abc");
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self';");
    expect(policy).toContain("style-src 'self' 'nonce-abc'");
    expect(policy).not.toContain("unsafe-eval");
    expect(policy.match(/unsafe-inline/g)).toHaveLength(1);
  });
});
