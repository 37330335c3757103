// How TypeScript, JSON and Markdown are laid out; rustfmt.toml does the same for Rust.
/** @type {import("prettier").Config} */
export default {
  printWidth: 100,
  proseWrap: "preserve",
};
