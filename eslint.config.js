// Lint rules, and above all the directions in which this code base's parts may import one another.
import js from "@eslint/js";
import reactHooks from "eslint-plugin-react-hooks";
import globals from "globals";
import tseslint from "typescript-eslint";

/**
 * A ban on importing from the named top-level parts, whatever the depth of the importing file.
 * @param {string[]} parts folders that may not be imported, relative to the checkout
 * @param {string} message what to do instead
 */
function keepOut(parts, message) {
  return parts.map((part) => ({
    regex: `(^|/)(\\.\\./)+(electron/|renderer/)?${part}(/|$)`,
    message,
  }));
}

const crossProcess = "Programs share words, not code: put what both need into electron/contract.";

/**
 * Every pattern that a folder has to keep to. ESLint lets a later configuration replace an earlier
 * one's options for a rule, so each folder states its whole list here.
 * @param {string[]} files
 * @param {object} bans
 * @param {object[]} [bans.patterns]
 * @param {object[]} [bans.paths]
 * @returns {import("eslint").Linter.Config}
 */
function directions(files, { patterns = [], paths = [] }) {
  return {
    files,
    rules: { "no-restricted-imports": ["error", { patterns, paths }] },
  };
}

const noElectron = {
  name: "electron",
  message: "This part runs without a display and without Electron.",
};
const noSpawn = [
  {
    name: "node:child_process",
    message: "Only electron/agent/helper starts processes; ask it.",
  },
  { name: "child_process", message: "Only electron/agent/helper starts processes; ask it." },
];
const noIpcMain = {
  name: "electron",
  importNames: ["ipcMain"],
  message: "Only electron/main/ipc registers handlers; add yours there.",
};

export default tseslint.config(
  {
    ignores: [
      "dist/",
      "out/",
      ".cache/",
      ".torpor/",
      "native-helpers/",
      "node_modules/",
      "playwright-report/",
      "test-results/",
      "tests/fixtures/",
      "bench/results/",
      "clients/node/dist/",
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  js.configs.recommended,
  {
    files: ["**/*.{ts,tsx}"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "@typescript-eslint/consistent-type-definitions": "off",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_", ignoreRestSiblings: true },
      ],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "no-restricted-syntax": [
        "error",
        {
          selector: "MemberExpression[object.name='window'][property.name='torpor']",
          message: "One file touches window.torpor: renderer/bridge.ts.",
        },
      ],
    },
  },
  { files: ["renderer/bridge.ts"], rules: { "no-restricted-syntax": "off" } },
  {
    files: ["**/*.{js,mjs}"],
    languageOptions: { globals: globals.node },
  },
  {
    files: ["renderer/**/*.{ts,tsx}"],
    extends: [reactHooks.configs.flat.recommended],
    languageOptions: { globals: globals.browser },
  },

  // Directions of imports.
  directions(["electron/contract/**/*.ts"], {
    patterns: keepOut(
      ["agent", "main", "preload", "cli", "renderer", "scripts"],
      "electron/contract imports nothing of ours.",
    ),
    paths: [noElectron],
  }),
  directions(["electron/agent/**/*.ts"], {
    patterns: keepOut(["main", "preload", "cli", "renderer", "scripts"], crossProcess),
    paths: [noElectron, ...noSpawn],
  }),
  directions(["electron/agent/helper/**/*.ts", "electron/agent/**/*.test.ts"], {
    patterns: keepOut(["main", "preload", "cli", "renderer", "scripts"], crossProcess),
    paths: [noElectron],
  }),
  directions(["electron/cli/**/*.ts"], {
    patterns: keepOut(["agent", "main", "preload", "renderer", "scripts"], crossProcess),
    paths: [noElectron],
  }),
  directions(["electron/main/**/*.ts"], {
    patterns: keepOut(["agent", "preload", "cli", "renderer", "scripts"], crossProcess),
    paths: [noIpcMain],
  }),
  directions(["electron/main/ipc/**/*.ts", "electron/main/**/*.test.ts"], {
    patterns: keepOut(["agent", "preload", "cli", "renderer", "scripts"], crossProcess),
  }),
  directions(["clients/node/**/*.ts"], {
    patterns: [
      {
        regex: "(^|/)(\\.\\./)+(electron|renderer|scripts|tests)(/|$)",
        message: "A client stands alone: applications embed it.",
      },
    ],
    paths: [noElectron],
  }),
  directions(["electron/preload/**/*.ts"], {
    patterns: keepOut(["agent", "main", "cli", "renderer", "scripts"], crossProcess),
  }),
  directions(["renderer/**/*.{ts,tsx}"], {
    patterns: [
      ...keepOut(["agent", "main", "preload", "cli", "scripts"], crossProcess),
      { regex: "^node:", message: "The window's contents are a browser page." },
    ],
    paths: [noElectron],
  }),
  directions(["renderer/features/**/*.{ts,tsx}"], {
    patterns: [
      ...keepOut(["agent", "main", "preload", "cli", "scripts"], crossProcess),
      { regex: "^node:", message: "The window's contents are a browser page." },
      {
        // One level up and into a folder is a sibling feature; stores and components are two levels up.
        regex: "^\\.\\./(?!\\.\\.)[^/]+/|(^|/)features/",
        message: "A feature never imports another feature; share through stores/ or components/.",
      },
    ],
    paths: [noElectron],
  }),
  directions(["renderer/components/**/*.{ts,tsx}"], {
    patterns: [
      ...keepOut(["agent", "main", "preload", "cli", "scripts"], crossProcess),
      { regex: "(^|/)(stores|features)/", message: "Components know neither stores nor features." },
      { regex: "(^|/)bridge(\\.ts)?$", message: "Components don't know the bridge." },
    ],
    paths: [noElectron],
  }),
);
