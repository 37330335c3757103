// The panel's icons, drawn here: a 16-unit grid, one stroke width. Always beside a word or a label.
import type { ReactElement } from "react";

const PATHS = {
  play: "M5 3.2v9.6l7.6-4.8z",
  stop: "M4 4h8v8H4z",
  capture: "M2.5 5.5h2.4l1.2-2h3.8l1.2 2h2.4v7.5h-11zM8 11a2.1 2.1 0 1 0 0-4.2A2.1 2.1 0 0 0 8 11",
  sleep: "M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z",
  wake: "M8 10.6a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2M8 1.4v1.5M8 13.1v1.5M1.4 8h1.5M13.1 8h1.5M3.3 3.3l1.1 1.1M11.6 11.6l1.1 1.1M12.7 3.3l-1.1 1.1M4.4 11.6l-1.1 1.1",
  restore: "M2.6 3v3.4H6M2.9 6.2A5.5 5.5 0 1 1 2.6 9M8 5.2V8l2 1.4",
  verify: "M8 1.8l5 1.9v3.8c0 3.2-2.1 5.6-5 6.7-2.9-1.1-5-3.5-5-6.7V3.7zM5.7 8l1.7 1.7 3-3.2",
  delete: "M2.8 4.3h10.4M6.2 4.3V2.6h3.6v1.7M4.1 4.3l.6 9.1h6.6l.6-9.1M6.7 6.8v4.2M9.3 6.8v4.2",
  label: "M2.5 2.5h5.2l5.8 5.8-5.2 5.2-5.8-5.8zM5.4 5.4h.01",
  edit: "M3 13l.7-3L10.6 3.1l2.3 2.3L6 12.3zM9.2 4.5l2.3 2.3",
  pin: "M6 2.5h4l-.6 4.3 2.1 2.2h-7l2.1-2.2zM8 9v4.5",
  unpin: "M6 2.5h4l-.6 4.3 2.1 2.2h-7l2.1-2.2zM8 9v4.5M2.5 2.5l11 11",
  close: "M3.8 3.8l8.4 8.4M12.2 3.8l-8.4 8.4",
  down: "M4 6.2l4 4 4-4",
  bell: "M3.4 11.4h9.2c-1-1.1-1.3-2-1.3-4.6a3.3 3.3 0 0 0-6.6 0c0 2.6-.3 3.5-1.3 4.6zM6.7 13.6h2.6",
  sun: "M8 10.6a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2M8 1.6v1.6M8 12.8v1.6M1.6 8h1.6M12.8 8h1.6M3.5 3.5l1.1 1.1M11.4 11.4l1.1 1.1M12.5 3.5l-1.1 1.1M4.6 11.4l-1.1 1.1",
  moon: "M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z",
  desktop: "M1.8 3h12.4v8H1.8zM5.6 13.6h4.8M8 11v2.6",
  machine: "M2 3h12v4.2H2zM2 8.8h12V13H2zM4.4 5.1h.01M4.4 10.9h.01",
  keyboard: "M1.6 4h12.8v8H1.6zM4 6.5h.01M6.6 6.5h.01M9.3 6.5h.01M12 6.5h.01M5 9.6h6",
  warning: "M8 2.2l6.3 11.3H1.7zM8 6.5v3.4M8 11.7h.01",
  info: "M8 14a6 6 0 1 0 0-12 6 6 0 0 0 0 12M8 7.4v3.6M8 5h.01",
  copy: "M5.5 5.5h7.5v8H5.5zM10.5 5.5v-3H3v8h2.5",
  inspect: "M7 11.6a4.6 4.6 0 1 0 0-9.2 4.6 4.6 0 0 0 0 9.2M10.4 10.4l3.4 3.4",
  contents: "M2.6 3.4h4.2M2.6 3.4v9.2h4M2.6 8h4M9 3.4h4.4M9 8h4.4M9 12.6h4.4",
  expand: "M9.5 2.5h4v4M13.5 2.5L9.2 6.8M6.5 13.5h-4v-4M2.5 13.5l4.3-4.3",
  shrink: "M13.2 6.8h-4v-4M9.2 6.8l4.3-4.3M2.8 9.2h4v4M6.8 9.2l-4.3 4.3",
  check: "M3.2 8.4l3.2 3.2 6.4-7",
  terminal: "M1.8 2.8h12.4v10.4H1.8zM4.4 6l2.2 2-2.2 2M8.2 10.2h3",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }): ReactElement {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
