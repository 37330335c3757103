//! Turns a terminal's state into bytes that paint it on another one.
//!
//! Order: reset what matters; the primary screen with its scrollback, as running text, so that it
//! scrolls into the other's scrollback and long lines stay whole; the alternate screen, when it is
//! shown; then colours, scroll region, cursor, modes, title. A reader sees the same screen, and
//! what the application writes next has the same effect there as here.

use super::tracker::Tracker;
use alacritty_terminal::grid::{Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{CharsetIndex, Color, CursorShape, NamedColor, StandardCharset};
use std::fmt::Write as _;

/// Leaves modes, regions and attributes behind, clears screen and scrollback. Softer than a full
/// reset, which real terminals answer with a flash.
const CLEAN_SLATE: &str = concat!(
    "\x1b[?1049l\x1b[!p\x1b[r\x1b[?6l\x1b[4l\x1b[20l\x1b[?7h\x1b[0m\x1b(B\x1b)B\x0f",
    "\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>",
    "\x1b[H\x1b[2J\x1b[3J",
);

/// Paints everything. The terminal is the same afterwards; it is borrowed mutably because its
/// hidden screen can only be looked at by showing it.
pub fn paint<T>(term: &mut Term<T>, tracker: &Tracker, title: Option<&str>) -> Vec<u8>
where
    T: alacritty_terminal::event::EventListener,
{
    let mut out = String::from(CLEAN_SLATE);
    palette(term, &mut out);
    let mode = *term.mode();
    if mode.contains(TermMode::ALT_SCREEN) {
        let hidden = primary_behind(term);
        grid(&hidden, &mut out);
        cursors(&hidden, &mut out);
        out.push_str("\x1b[?1049h\x1b[H\x1b[2J");
    }
    grid(term.grid(), &mut out);
    saved_cursor(term.grid(), &mut out);
    if let Some((top, bottom)) = tracker.scroll_region() {
        let _ = write!(out, "\x1b[{top};{bottom}r");
    }
    if mode.contains(TermMode::ORIGIN) {
        out.push_str("\x1b[?6h");
    }
    let first_row = match tracker.scroll_region() {
        Some((top, _)) if mode.contains(TermMode::ORIGIN) => i32::from(top) - 1,
        _ => 0,
    };
    cursor(term.grid(), first_row, &mut out);
    if tracker.is_shifted_out() {
        out.push('\x0e');
    }
    modes(mode, &mut out);
    let style = term.cursor_style();
    let shape = match style.shape {
        CursorShape::Underline => 4,
        CursorShape::Beam => 6,
        _ => 2,
    };
    // 2 is what terminals start with, where 0 means "the user's choice".
    if (shape, style.blinking) != (2, false) {
        let _ = write!(out, "\x1b[{} q", shape - u8::from(style.blinking));
    }
    if let Some(title) = title {
        let _ = write!(out, "\x1b]2;{title}\x07");
    }
    out.into_bytes()
}

/// The primary screen of a terminal that shows the alternate one.
///
/// Leaving the alternate screen is a swap, but entering it again clears it and overwrites the
/// primary's saved cursor: so the alternate one is kept aside meanwhile.
fn primary_behind<T>(term: &mut Term<T>) -> Grid<Cell>
where
    T: alacritty_terminal::event::EventListener,
{
    let alternate = term.grid().clone();
    term.swap_alt();
    let primary = term.grid().clone();
    term.swap_alt();
    *term.grid_mut() = alternate;
    primary
}

fn palette<T>(term: &Term<T>, out: &mut String) {
    for index in 0..=258 {
        let Some(rgb) = term.colors()[index] else { continue };
        let spec = format!("rgb:{:02x}/{:02x}/{:02x}", rgb.r, rgb.g, rgb.b);
        let _ = match index {
            0..=255 => write!(out, "\x1b]4;{index};{spec}\x07"),
            _ => write!(out, "\x1b]{};{spec}\x07", index - 256 + 10),
        };
    }
}

/// Every row, oldest first. Leaves the cursor anywhere and the attributes default.
fn grid(grid: &Grid<Cell>, out: &mut String) {
    let last = Column(grid.columns() - 1);
    let bottom = grid.bottommost_line();
    let plain = Color::Named(NamedColor::Background);
    let mut pen = Cell::default();
    let mut continues = false;
    let mut line = grid.topmost_line();
    while line <= bottom {
        let wraps = grid[line][last].flags.contains(Flags::WRAPLINE);
        let at_least = match continues {
            _ if wraps => grid.columns(),
            // Its first character makes the other terminal scroll in a row of that background.
            true if grid[line][Column(0)].bg != plain => grid.columns(),
            _ => usize::from(continues),
        };
        row(grid, line, at_least, &mut pen, out);
        // A full row followed by a character wraps by itself; that keeps the long line whole.
        if !wraps && line < bottom {
            if pen != Cell::default() {
                attributes(&Cell::default(), &mut pen, out);
            }
            out.push_str("\r\n");
        }
        continues = wraps;
        line += 1;
    }
    out.push_str("\x1b[0m\x1b]8;;\x07");
}

fn row(grid: &Grid<Cell>, line: Line, at_least: usize, pen: &mut Cell, out: &mut String) {
    let row = &grid[line];
    let blank = |cell: &Cell| {
        cell.c == ' '
            && cell.bg == Color::Named(NamedColor::Background)
            && cell.extra.is_none()
            && !cell.flags.intersects(
                Flags::INVERSE | Flags::ALL_UNDERLINES | Flags::STRIKEOUT | Flags::WIDE_CHAR_SPACER,
            )
    };
    let used = (0..grid.columns()).rev().find(|at| !blank(&row[Column(*at)])).map_or(0, |at| at + 1);
    for at in 0..used.max(at_least) {
        let cell = &row[Column(at)];
        if cell.flags.intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER) {
            continue;
        }
        attributes(cell, pen, out);
        character(cell, out);
    }
}

fn character(cell: &Cell, out: &mut String) {
    // A tab's first cell holds the tab itself; the cells behind it hold blanks.
    out.push(if cell.c == '\t' { ' ' } else { cell.c });
    out.extend(cell.zerowidth().into_iter().flatten());
}

const STYLES: [(Flags, &str); 10] = [
    (Flags::BOLD, ";1"),
    (Flags::DIM, ";2"),
    (Flags::ITALIC, ";3"),
    (Flags::UNDERLINE, ";4"),
    (Flags::DOUBLE_UNDERLINE, ";4:2"),
    (Flags::UNDERCURL, ";4:3"),
    (Flags::DOTTED_UNDERLINE, ";4:4"),
    (Flags::DASHED_UNDERLINE, ";4:5"),
    (Flags::INVERSE, ";7"),
    (Flags::STRIKEOUT, ";9"),
];

/// Changes the pen to a cell's attributes, if they differ.
fn attributes(cell: &Cell, pen: &mut Cell, out: &mut String) {
    let visible = |c: &Cell| {
        let flags = c.flags
            - (Flags::WRAPLINE
                | Flags::WIDE_CHAR
                | Flags::WIDE_CHAR_SPACER
                | Flags::LEADING_WIDE_CHAR_SPACER);
        (c.fg, c.bg, flags, c.underline_color())
    };
    if visible(cell) != visible(pen) {
        out.push_str("\x1b[0");
        for (flag, code) in STYLES {
            if cell.flags.contains(flag) {
                out.push_str(code);
            }
        }
        if cell.flags.contains(Flags::HIDDEN) {
            out.push_str(";8");
        }
        colour(cell.fg, 30, out);
        colour(cell.bg, 40, out);
        match cell.underline_color() {
            Some(Color::Spec(rgb)) => {
                let _ = write!(out, ";58:2::{}:{}:{}", rgb.r, rgb.g, rgb.b);
            }
            Some(Color::Indexed(index)) => {
                let _ = write!(out, ";58:5:{index}");
            }
            _ => {}
        }
        out.push('m');
    }
    let (link, before) = (cell.hyperlink(), pen.hyperlink());
    if link != before {
        match link {
            Some(link) => {
                let _ = write!(out, "\x1b]8;id={};{}\x07", link.id(), link.uri());
            }
            None => out.push_str("\x1b]8;;\x07"),
        }
    }
    pen.clone_from(cell);
}

/// `base` is 30 for the foreground, 40 for the background.
fn colour(colour: Color, base: u16, out: &mut String) {
    let _ = match colour {
        Color::Spec(rgb) => write!(out, ";{};2;{};{};{}", base + 8, rgb.r, rgb.g, rgb.b),
        Color::Indexed(index) => write!(out, ";{};5;{index}", base + 8),
        Color::Named(named) => match named as u16 {
            index @ 0..=7 => write!(out, ";{}", base + index),
            index @ 8..=15 => write!(out, ";{}", base + 60 + index - 8),
            _ => Ok(()),
        },
    };
}

fn cursors(grid: &Grid<Cell>, out: &mut String) {
    saved_cursor(grid, out);
    cursor(grid, 0, out);
}

/// What `ESC 8` returns to.
fn saved_cursor(grid: &Grid<Cell>, out: &mut String) {
    let saved = &grid.saved_cursor;
    let _ = write!(out, "\x1b[{};{}H", saved.point.line.0 + 1, saved.point.column.0 + 1);
    attributes(&saved.template, &mut Cell::default(), out);
    charsets(|index| saved.charsets[index], out);
    out.push_str("\x1b7\x1b[0m\x1b(B\x1b)B");
}

fn cursor(grid: &Grid<Cell>, first_row: i32, out: &mut String) {
    let cursor = &grid.cursor;
    let point = cursor.point;
    let _ = write!(out, "\x1b[{};{}H", point.line.0 + 1 - first_row, point.column.0 + 1);
    if cursor.input_needs_wrap {
        // "Behind the last column" is no position: only writing there leads to it.
        let cell = &grid[point.line][point.column];
        let mut pen = Cell::default();
        if cell.flags.contains(Flags::WIDE_CHAR_SPACER) && point.column.0 > 0 {
            out.push_str("\x1b[D");
            let wide = &grid[point.line][point.column - 1];
            attributes(wide, &mut pen, out);
            character(wide, out);
        } else {
            attributes(cell, &mut pen, out);
            character(cell, out);
        }
        out.push_str("\x1b[0m");
    }
    attributes(&cursor.template, &mut Cell::default(), out);
    charsets(|index| cursor.charsets[index], out);
}

fn charsets(set: impl Fn(CharsetIndex) -> StandardCharset, out: &mut String) {
    for (index, designator) in
        [(CharsetIndex::G0, '('), (CharsetIndex::G1, ')'), (CharsetIndex::G2, '*'), (CharsetIndex::G3, '+')]
    {
        if set(index) == StandardCharset::SpecialCharacterAndLineDrawing {
            let _ = write!(out, "\x1b{designator}0");
        }
    }
}

fn modes(mode: TermMode, out: &mut String) {
    for (flag, set) in [
        (TermMode::APP_CURSOR, "\x1b[?1h"),
        (TermMode::APP_KEYPAD, "\x1b="),
        (TermMode::MOUSE_REPORT_CLICK, "\x1b[?1000h"),
        (TermMode::MOUSE_DRAG, "\x1b[?1002h"),
        (TermMode::MOUSE_MOTION, "\x1b[?1003h"),
        (TermMode::FOCUS_IN_OUT, "\x1b[?1004h"),
        (TermMode::UTF8_MOUSE, "\x1b[?1005h"),
        (TermMode::SGR_MOUSE, "\x1b[?1006h"),
        (TermMode::BRACKETED_PASTE, "\x1b[?2004h"),
        (TermMode::INSERT, "\x1b[4h"),
        (TermMode::LINE_FEED_NEW_LINE, "\x1b[20h"),
    ] {
        if mode.contains(flag) {
            out.push_str(set);
        }
    }
    for (flag, unset) in [
        (TermMode::LINE_WRAP, "\x1b[?7l"),
        (TermMode::SHOW_CURSOR, "\x1b[?25l"),
        (TermMode::ALTERNATE_SCROLL, "\x1b[?1007l"),
    ] {
        if !mode.contains(flag) {
            out.push_str(unset);
        }
    }
}
