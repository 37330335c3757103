/** Aligned columns. */

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

export interface Cell {
  readonly text: string;
  /** Applied after padding, so that escape sequences don't count as width. */
  readonly paint?: (text: string) => string;
}

export function textTable(
  columns: readonly Column[],
  rows: readonly (readonly (string | Cell)[])[],
): string[] {
  const cells = rows.map((row) =>
    row.map((cell) => (typeof cell === "string" ? { text: cell } : cell)),
  );
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...cells.map((row) => displayWidth(row[index]?.text ?? ""))),
  );
  const lay = (row: readonly Cell[]): string =>
    columns
      .map((column, index) => {
        const cell: Cell = row[index] ?? { text: "" };
        const gap = " ".repeat(Math.max(0, (widths[index] ?? 0) - displayWidth(cell.text)));
        const text = cell.paint === undefined ? cell.text : cell.paint(cell.text);
        return column.align === "right" ? gap + text : text + gap;
      })
      .join("  ")
      .trimEnd();
  return [lay(columns.map(({ title }) => ({ text: title }))), ...cells.map(lay)];
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
