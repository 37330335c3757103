//! Draws what a terminal shows as an SVG picture: colours, attributes and cursor, without a font of our own.
//!
//! Whatever is drawn came out of some program, or of a forged image: only characters that XML allows get into
//! the picture, escaped, and nothing in it can load anything.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{Color, CursorShape, NamedColor, Rgb};
use std::fmt::Write as _;

/// Pixels of a cell, and how far below its top the letters stand.
const CELL_WIDTH: usize = 9;
const CELL_HEIGHT: usize = 18;
const BASE_LINE: usize = 14;
const MARGIN: usize = 8;
/// Longest drawing in bytes; a screen of 200 columns and 60 rows that changes colour at each cell has 2 MiB.
const MAX_LENGTH: usize = 4 << 20;

const FOREGROUND: Rgb = Rgb { r: 0xd7, g: 0xdb, b: 0xe0 };
const BACKGROUND: Rgb = Rgb { r: 0x15, g: 0x1a, b: 0x21 };
/// Colours 0 to 15, readable on [`BACKGROUND`].
const NAMED: [u32; 16] = [
    0x2b323b, 0xe06c75, 0x8cc570, 0xd9b45f, 0x6aa9f0, 0xc58be0, 0x58b8c4, 0xc7ccd3, 0x7c8794, 0xf28b93,
    0xa9dd8e, 0xf0cf7d, 0x8fc1fa, 0xdca9f2, 0x7fd3dd, 0xf4f6f8,
];

/// A drawing of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// In pixels, when shown at its own size.
    pub width: usize,
    pub height: usize,
    pub svg: String,
}

/// What cells must have in common to be drawn by one element.
#[derive(Clone, Copy, PartialEq)]
struct Look {
    foreground: Rgb,
    background: Rgb,
    flags: Flags,
    underline: Option<Rgb>,
}

/// `None` when the drawing would get too long.
pub fn draw<T>(term: &Term<T>) -> Option<Drawing> {
    let grid = term.grid();
    let (columns, rows) = (grid.columns(), grid.screen_lines());
    let (width, height) = (columns * CELL_WIDTH + 2 * MARGIN, rows * CELL_HEIGHT + 2 * MARGIN);
    let ground = named(term, NamedColor::Background);
    let mut svg = format!(
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" "#,
            r#"font-family="'DejaVu Sans Mono','Liberation Mono',monospace" font-size="14">"#,
            "\n",
            r#"<rect width="{w}" height="{h}" fill="{ground}"/>"#,
            "\n"
        ),
        w = width,
        h = height,
        ground = hex(ground)
    );
    for line in 0..rows {
        let mut at = 0;
        while at < columns {
            let row = &grid[Line(line as i32)];
            let look = look_of(term, &row[Column(at)]);
            let mut run = Run { line, from: at, cells: 0, text: String::new(), look };
            // A wide character stands alone: fonts disagree most about those.
            while at < columns && look_of(term, &row[Column(at)]) == look {
                let cell = &row[Column(at)];
                let wide = cell.flags.contains(Flags::WIDE_CHAR);
                if wide && run.cells > 0 {
                    break;
                }
                let cells = if wide { 2 } else { 1 };
                run.push(cell, cells);
                at += cells;
                if wide {
                    break;
                }
            }
            run.draw(ground, &mut svg);
            if svg.len() > MAX_LENGTH {
                return None;
            }
        }
    }
    cursor(term, &mut svg);
    svg.push_str("</svg>\n");
    Some(Drawing { width, height, svg })
}

/// Cells beside each other that look the same.
struct Run {
    line: usize,
    from: usize,
    cells: usize,
    text: String,
    look: Look,
}

impl Run {
    fn push(&mut self, cell: &Cell, cells: usize) {
        self.cells += cells;
        if cell.flags.intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER) {
            self.text.push(' ');
            return;
        }
        escape(cell.c, &mut self.text);
        // A hostile screen may have any number of them on one character.
        for mark in cell.zerowidth().into_iter().flatten().take(8) {
            escape(*mark, &mut self.text);
        }
    }

    fn draw(&self, ground: Rgb, out: &mut String) {
        let (x, y) = (MARGIN + self.from * CELL_WIDTH, MARGIN + self.line * CELL_HEIGHT);
        let width = self.cells * CELL_WIDTH;
        let look = &self.look;
        if look.background != ground {
            let fill = hex(look.background);
            let _ = writeln!(
                out,
                r#"<rect x="{x}" y="{y}" width="{width}" height="{CELL_HEIGHT}" fill="{fill}"/>"#
            );
        }
        let lined = look.flags.intersects(Flags::ALL_UNDERLINES | Flags::STRIKEOUT);
        if look.flags.contains(Flags::HIDDEN) || (!lined && self.text.bytes().all(|b| b == b' ')) {
            return;
        }
        let base = y + BASE_LINE;
        let _ = write!(
            out,
            r#"<text x="{x}" y="{base}" textLength="{width}" lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="{}""#,
            hex(look.foreground)
        );
        for (flag, attribute) in [
            (Flags::BOLD, r#" font-weight="bold""#),
            (Flags::ITALIC, r#" font-style="italic""#),
            (Flags::DIM, r#" opacity="0.6""#),
        ] {
            if look.flags.contains(flag) {
                out.push_str(attribute);
            }
        }
        if lined {
            out.push_str(r#" style="text-decoration:"#);
            for (flags, word) in [
                (Flags::ALL_UNDERLINES, " underline"),
                (Flags::STRIKEOUT, " line-through"),
                (Flags::DOUBLE_UNDERLINE, " double"),
                (Flags::UNDERCURL, " wavy"),
                (Flags::DOTTED_UNDERLINE, " dotted"),
                (Flags::DASHED_UNDERLINE, " dashed"),
            ] {
                if look.flags.intersects(flags) {
                    out.push_str(word);
                }
            }
            if let Some(colour) = look.underline {
                let _ = write!(out, " {}", hex(colour));
            }
            out.push('"');
        }
        let _ = writeln!(out, ">{}</text>", self.text);
    }
}

fn look_of<T>(term: &Term<T>, cell: &Cell) -> Look {
    let (mut foreground, mut background) = (colour(term, cell.fg), colour(term, cell.bg));
    if cell.flags.contains(Flags::INVERSE) {
        (foreground, background) = (background, foreground);
    }
    let shown =
        Flags::BOLD | Flags::ITALIC | Flags::DIM | Flags::HIDDEN | Flags::STRIKEOUT | Flags::ALL_UNDERLINES;
    let underline = cell.underline_color().map(|it| colour(term, it));
    Look { foreground, background, flags: cell.flags & shown, underline }
}

/// Where the next character goes, in the shape that the program has chosen.
fn cursor<T>(term: &Term<T>, out: &mut String) {
    if !term.mode().contains(TermMode::SHOW_CURSOR) {
        return;
    }
    let point = term.grid().cursor.point;
    let Ok(line) = usize::try_from(point.line.0) else { return };
    let (x, y) = (MARGIN + point.column.0 * CELL_WIDTH, MARGIN + line * CELL_HEIGHT);
    let (y, width, height) = match term.cursor_style().shape {
        CursorShape::Hidden => return,
        CursorShape::Beam => (y, 2, CELL_HEIGHT),
        CursorShape::Underline => (y + CELL_HEIGHT - 2, CELL_WIDTH, 2),
        _ => (y, CELL_WIDTH, CELL_HEIGHT),
    };
    let fill = hex(named(term, NamedColor::Cursor));
    // The character below stays readable.
    let _ = writeln!(
        out,
        r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}" fill-opacity="0.6"/>"#
    );
}

/// What a colour looks like, the program's own palette first.
fn colour<T>(term: &Term<T>, colour: Color) -> Rgb {
    match colour {
        Color::Spec(rgb) => rgb,
        Color::Indexed(index) => term.colors()[usize::from(index)].unwrap_or_else(|| indexed(index)),
        Color::Named(name) => named(term, name),
    }
}

fn named<T>(term: &Term<T>, name: NamedColor) -> Rgb {
    let index = name as usize;
    if let Some(rgb) = (index < 269).then(|| term.colors()[index]).flatten() {
        return rgb;
    }
    match name {
        NamedColor::Background => BACKGROUND,
        _ => match u8::try_from(index) {
            Ok(index) => indexed(index),
            Err(_) => FOREGROUND,
        },
    }
}

/// The 256 colours of xterm: 16 with names, a cube of 6 by 6 by 6, 24 greys.
fn indexed(index: u8) -> Rgb {
    match index {
        0..=15 => {
            let [_, r, g, b] = NAMED[usize::from(index)].to_be_bytes();
            Rgb { r, g, b }
        }
        16..=231 => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let cube = index - 16;
            Rgb { r: level(cube / 36), g: level(cube / 6 % 6), b: level(cube % 6) }
        }
        232..=255 => {
            let level = 8 + 10 * (index - 232);
            Rgb { r: level, g: level, b: level }
        }
    }
}

fn hex(rgb: Rgb) -> String {
    format!("#{:02x}{:02x}{:02x}", rgb.r, rgb.g, rgb.b)
}

fn escape(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '\0'..='\x1f' => out.push(' '),
        // Not characters of XML 1.0, or not to be seen.
        '\x7f'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
        // Characters that turn the order of others around would move them out of their cells.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
        c => out.push(c),
    }
}
