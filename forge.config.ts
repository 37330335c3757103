// How the product is packaged: what goes in, the fuses that Electron is locked down with, and Debian's package.
// Started by scripts/package.mjs, which makes sure of the runtime that it is built on.
import { MakerDeb } from "@electron-forge/maker-deb";
import { FusesPlugin } from "@electron-forge/plugin-fuses";
import type { ForgeConfig } from "@electron-forge/shared-types";
import { FuseV1Options, FuseVersion } from "@electron/fuses";

import { helperPath } from "./scripts/paths.mjs";

/** Set by scripts/package.mjs when another runtime than the pinned one was asked for by name. */
const electronZips = process.env.TORPOR_PACKAGE_ELECTRON_ZIPS;

/**
 * All that runs is bundled; beside the bundles only the native modules are needed, for this machine's kind and
 * without their sources. Folders are listed too: one that isn't wanted is not looked into.
 */
const wanted = [
  /^\/(package\.json|LICENSE|dist|node_modules)$/,
  /^\/dist\/(?!\.inputs$|.*\.map$)/,
  /^\/assets(\/icons(\/torpor-256\.png)?)?$/,
  /^\/node_modules\/(node-pty|better-sqlite3)(\/(package\.json|LICENSE|lib|lib\/(methods|shared)|lib\/.*\.js|build|build\/Release|prebuilds))?$/,
  /^\/node_modules\/node-pty\/build\/Release\/pty\.node$/,
  new RegExp(`^/node_modules/better-sqlite3/prebuilds/linux-${process.arch}\\.node$`),
];

const config: ForgeConfig = {
  packagerConfig: {
    name: "torpor",
    executableName: "torpor-panel",
    appBundleId: "org.torpor.panel",
    appCopyright: "Apache-2.0",
    asar: { unpack: "**/*.node" },
    extraResource: [helperPath, "assets/samples"],
    ignore: (path) => path !== "" && !wanted.some((each) => each.test(path)),
    prune: false,
    ...(electronZips === undefined ? {} : { electronZipDir: electronZips }),
  },
  // The native modules are N-API: nothing to build for this Electron.
  rebuildConfig: { onlyModules: [] },
  makers: [
    new MakerDeb({
      options: {
        name: "torpor",
        productName: "Torpor",
        genericName: "Application hibernation",
        description: "Hibernates running applications and wakes them again",
        productDescription:
          "Torpor captures running applications into boot images, and restores them from there: at an operator's click, after a crash, after a power cut.",
        section: "admin",
        bin: "torpor-panel",
        icon: "assets/icons/torpor-512.png",
        categories: ["System"],
      },
    }),
  ],
  plugins: [
    new FusesPlugin({
      version: FuseVersion.V1,
      // The command line and the attached terminals run on the same binary, as Node.
      [FuseV1Options.RunAsNode]: true,
      [FuseV1Options.EnableCookieEncryption]: true,
      [FuseV1Options.EnableNodeOptionsEnvironmentVariable]: false,
      [FuseV1Options.EnableNodeCliInspectArguments]: false,
      [FuseV1Options.EnableEmbeddedAsarIntegrityValidation]: true,
      [FuseV1Options.OnlyLoadAppFromAsar]: true,
      [FuseV1Options.LoadBrowserProcessSpecificV8Snapshot]: false,
      // The window's contents come from a scheme of our own, none from file:.
      [FuseV1Options.GrantFileProtocolExtraPrivileges]: false,
      // A runtime for trying out may be older than this fuse, and then not all of them can be required.
      ...(electronZips === undefined
        ? { [FuseV1Options.WasmTrapHandlers]: true, strictlyRequireAllFuses: true }
        : {}),
    }),
  ],
};

export default config;
