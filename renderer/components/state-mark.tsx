// An application's state: a mark whose shape differs as well as its colour, and the word.
import type { ReactElement } from "react";
import type { StateTone } from "../words/application-words.js";

const SHAPES: Readonly<Record<StateTone, ReactElement>> = {
  running: <circle cx="6" cy="6" r="4.5" fill="currentColor" />,
  asleep: <path d="M10.2 7.5A4.6 4.6 0 0 1 4.5 1.8a4.6 4.6 0 1 0 5.7 5.7z" fill="currentColor" />,
  off: <circle cx="6" cy="6" r="3.7" fill="none" stroke="currentColor" strokeWidth="1.6" />,
  busy: <path d="M6 1.2L10.8 6 6 10.8 1.2 6z" fill="currentColor" />,
  failed: <path d="M6 1l5.2 9.6H.8z" fill="currentColor" />,
};

export function StateMark({
  tone,
  word,
}: {
  readonly tone: StateTone;
  readonly word: string;
}): ReactElement {
  return (
    <span className={`state-mark state-${tone}`}>
      <svg viewBox="0 0 12 12" aria-hidden="true" focusable="false">
        {SHAPES[tone]}
      </svg>
      <span>{word}</span>
    </span>
  );
}
