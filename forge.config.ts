// How the product is packaged: what goes in, the fuses that Electron is locked down with, and Debian's package.
// Started by scripts/package.mjs, which makes sure of the runtime that it is built on.
import { MakerDeb } from "@electron-forge/maker-deb";
import { FusesPlugin } from "@electron-forge/plugin-fuses";
import type { ForgeConfig } from "@electron-forge/shared-types";
import { FuseV1Options, FuseVersion } from "@electron/fuses";

/** Set by scripts/package.mjs when another runtime than the pinned one was asked for by name. */
const { TORPOR_PACKAGE_ELECTRON_ZIPS: electronZips, TORPOR_PACKAGE_ELECTRON: electronVersion } =
  process.env;

/** All that runs is bundled; beside the bundles only native modules are needed, without their sources. */
const wanted =
  /^\/(package\.json|LICENSE|dist|node_modules(\/(node-pty|better-sqlite3)(\/(package\.json|LICENSE|lib|build(\/Release(\/[^/]+\.node)?)?|prebuilds|bin)(\/.*)?)?)?)$|^\/dist\//;

/** Maps help whoever debugs a checkout; they would double the package. */
const unwanted = /\.map$|^\/dist\/\.inputs$|\/build\/Release\/(obj\.target|\.deps)/;

const config: ForgeConfig = {
  packagerConfig: {
    name: "torpor",
    executableName: "torpor-panel",
    appBundleId: "org.torpor.panel",
    appCopyright: "Apache-2.0",
    asar: { unpack: "**/*.node" },
    extraResource: ["native-helpers/target/release/torpor-helper", "assets/samples"],
    ignore: (path) => path !== "" && (!wanted.test(path) || unwanted.test(path)),
    prune: false,
    ...(electronZips === undefined ? {} : { electronZipDir: electronZips }),
    ...(electronVersion === undefined ? {} : { electronVersion }),
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
        categories: ["System"],
      },
    }),
  ],
  plugins: [
    new FusesPlugin({
      version: FuseVersion.V1,
      // A runtime older than the pinned one has fewer of them, so they can't all be required there.
      ...(electronVersion === undefined ? { strictlyRequireAllFuses: true } : {}),
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
      [FuseV1Options.WasmTrapHandlers]: true,
    }),
  ],
};

export default config;
