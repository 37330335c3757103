/** Aligned columns, as many as there is room for. */

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Its cells are cut where the terminal is too narrow. */
  readonly shrinks?: boolean;
  /** Where that is not enough, columns are left out, those with the lowest number first. */
  readonly leaves?: number;
}

/** Less of a name than this says nothing. */
const NARROWEST = 12;
const GAP = 2;

export interface Cell {
  readonly text: string;
  /** Applied after padding, so that escape sequences don't count as width. */
  readonly paint?: (text: string) => string;
}

/** @param width of the terminal, in columns; null: there is none, and nothing is cut or left out */
export function textTable(
  columns: readonly Column[],
  rows: readonly (readonly (string | Cell)[])[],
  width: number | null = null,
): string[] {
  const cells = rows.map((row) =>
    row.map((cell) => (typeof cell === "string" ? { text: cell } : cell)),
  );
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...cells.map((row) => displayWidth(row[index]?.text ?? ""))),
  );
  const shown = width === null ? widths : fitted(columns, widths, width);
  const lay = (row: readonly Cell[]): string =>
    columns
      .flatMap((column, index) => {
        const room = shown[index] ?? null;
        if (room === null) {
          return [];
        }
        const cell: Cell = row[index] ?? { text: "" };
        const text = cutTo(cell.text, room);
        const gap = " ".repeat(Math.max(0, room - displayWidth(text)));
        const painted = cell.paint === undefined ? text : cell.paint(text);
        return [column.align === "right" ? gap + painted : painted + gap];
      })
      .join(" ".repeat(GAP))
      .trimEnd();
  return [lay(columns.map(({ title }) => ({ text: title }))), ...cells.map(lay)];
}

/** The width of each column, null for one that is left out. */
function fitted(
  columns: readonly Column[],
  widths: readonly number[],
  width: number,
): (number | null)[] {
  const shown: (number | null)[] = [...widths];
  const excess = (): number => {
    const present = shown.filter((each) => each !== null);
    return present.reduce((sum, each) => sum + each + GAP, -GAP) - width;
  };
  const shrink = (floor: number): void => {
    // The widest first, so that one long label costs no other column anything.
    for (let over = excess(); over > 0; over = excess()) {
      const [widest, ...others] = columns
        .map(({ shrinks }, index) => (shrinks === true ? index : -1))
        .filter((index) => index !== -1 && (shown[index] ?? 0) > floor)
        .sort((a, b) => (shown[b] ?? 0) - (shown[a] ?? 0));
      if (widest === undefined) {
        return;
      }
      const next = Math.max(floor, others[0] === undefined ? 0 : (shown[others[0]] ?? 0));
      const now = shown[widest] ?? 0;
      shown[widest] = Math.max(now - over, next < now ? next : now - 1);
    }
  };
  shrink(NARROWEST);
  const leaving = columns
    .map(({ leaves }, index) => ({ leaves, index }))
    .filter((each) => each.leaves !== undefined)
    .sort((a, b) => (a.leaves ?? 0) - (b.leaves ?? 0));
  for (const { index } of leaving) {
    if (excess() <= 0) {
      break;
    }
    shown[index] = null;
  }
  return shown;
}

function cutTo(text: string, room: number): string {
  if (displayWidth(text) <= room) {
    return text;
  }
  let kept = "";
  for (const character of text) {
    if (displayWidth(kept + character) > room - 1) {
      break;
    }
    kept += character;
  }
  return `${kept}…`;
}

/** Close enough for names and labels: wide characters take two columns. */
function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    width += /\p{Mark}/u.test(character)
      ? 0
      : /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u.test(
            character,
          )
        ? 2
        : 1;
  }
  return width;
}
