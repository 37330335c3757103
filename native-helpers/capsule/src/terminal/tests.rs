//! A repaint must lead a fresh terminal to the same state, whatever the application did.

use super::*;
use alacritty_terminal::index::{Column, Line};

const SIZE: WindowSize = WindowSize { columns: 20, rows: 5 };

/// Everything that a repaint promises to bring back.
fn state(terminal: &mut Terminal) -> String {
    let mut text = String::new();
    let mut grids = vec![terminal.term.grid().clone()];
    let alternate = terminal.term.mode().contains(alacritty_terminal::term::TermMode::ALT_SCREEN);
    if alternate {
        let kept = terminal.term.grid().clone();
        terminal.term.swap_alt();
        grids.push(terminal.term.grid().clone());
        terminal.term.swap_alt();
        *terminal.term.grid_mut() = kept;
    }
    for grid in grids {
        let mut line = grid.topmost_line();
        while line <= grid.bottommost_line() {
            for column in 0..grid.columns() {
                let cell = &grid[line][Column(column)];
                text += &format!("{}{:?}{:?}{:?}|", cell.c, cell.fg, cell.bg, cell.flags);
            }
            text += "\n";
            line += 1;
        }
        text += &format!("{:?} {:?}\n", grid.cursor, grid.saved_cursor);
    }
    text + &format!(
        "{:?} {:?} {:?}",
        terminal.term.mode(),
        terminal.tracker.scroll_region(),
        terminal.title()
    )
}

fn assert_repaints(bytes: &[u8]) {
    let mut first = Terminal::new(SIZE);
    first.output(bytes);
    let before = state(&mut first);
    let repaint = first.repaint();
    assert_eq!(before, state(&mut first), "painting changed the terminal: {}", bytes.escape_ascii());
    let mut second = Terminal::new(SIZE);
    second.output(&repaint);
    assert_eq!(before, state(&mut second), "{}\n{}", bytes.escape_ascii(), repaint.escape_ascii());
}

#[test]
fn screens_come_back() {
    let numbers: String = (0..30).map(|n| format!("line {n}\r\n")).collect();
    for bytes in [
        "",
        "hello\r\nworld",
        "\x1b[31mred\x1b[0m \x1b[1;4;44mbold\x1b[0m \x1b[38;5;200mx\x1b[48;2;1;2;3my",
        "\x1b[91;103mbright\x1b[2mdim\x1b[3;9mitalic\x1b[8mhidden",
        "exactly twenty chars\x1b[2;1Hx",
        "exactly twenty chars",
        "a line that is longer than twenty columns and wraps twice",
        "wide 漢字漢字漢字漢字 wraps here 漢",
        "e\u{301}o\u{308}",
        "\x1b[44m\x1b[2J\x1b[3;3Hblue",
        "\x1b[7m   \x1b[0m",
        &numbers,
        &(numbers.clone() + "\x1b[44mblue to the end of it\x1b[0m\r\n" + &numbers),
        &(numbers.clone() + "\x1b[44mblue, but\x1b[0m not here\r\n\x1b[45m\r\n\x1b[0mx"),
        &(numbers.clone() + "plain plain plain pla\x1b[41min\x1b[0m\r\n" + &numbers),
        &(numbers.clone() + "\x1b[2;4r\x1b[3;5Hin region\n\n\n"),
        "\x1b[2;4r\x1b[?6h\x1b[2;2Hx",
        "\x1b7\x1b[4;4H\x1b[32m",
        "\x1b[3;3H\x1b[33m\x1b7\x1b[H\x1b[0mz",
        "\x1b(0lqqk\x1b(B",
        "\x1b(0lq",
        "\x1b]2;a title\x07\x1b[?1h\x1b=\x1b[?2004h\x1b[?1002h\x1b[?1006h\x1b[?25l\x1b[?1004h",
        "\x1b[4h\x1b[?7l",
        "\x1b[?1003h\x1b[?1005h",
    ] {
        assert_repaints(bytes.as_bytes());
    }
}

#[test]
fn the_primary_screen_comes_back_behind_the_alternate_one() {
    assert_repaints(b"shell$ vim\r\n\x1b[?1049h\x1b[H\x1b[2J~\r\n~\x1b[3;3Htext\x1b[2;4r\x1b[4;2H");
    let mut first = Terminal::new(SIZE);
    first.output(b"shell$ vim\r\n\x1b[?1049h\x1b[Hediting");
    let mut second = Terminal::new(SIZE);
    second.output(&first.repaint());
    second.output(b"\x1b[?1049ldone");
    let line: String = (0..10).map(|c| second.term.grid()[Line(0)][Column(c)].c).collect();
    assert_eq!(line, "shell$ vim");
    let line: String = (0..4).map(|c| second.term.grid()[Line(1)][Column(c)].c).collect();
    assert_eq!(line, "done");
}

#[test]
fn a_sequence_cut_in_two_by_the_capture_still_works() {
    let bytes = "ab\x1b[31;1mcd\x1b]2;title\x07\u{2500}\x1b[2;3Hx".as_bytes();
    let mut whole = Terminal::new(SIZE);
    whole.output(bytes);
    let whole = state(&mut whole);
    for cut in 0..bytes.len() {
        let mut first = Terminal::new(SIZE);
        first.output(&bytes[..cut]);
        let mut second = Terminal::new(SIZE);
        second.output(&first.repaint());
        second.output(&bytes[cut..]);
        assert_eq!(whole, state(&mut second), "cut at {cut}");
    }
}

#[test]
fn memory_is_bounded() {
    let mut terminal = Terminal::new(WindowSize { columns: 1000, rows: 50 });
    terminal.output("x\r\n".repeat(10_000).as_bytes());
    assert_eq!(terminal.term.grid().history_size(), 400);
    terminal.resize(WindowSize { columns: 80, rows: 24 });
    terminal.output("x\r\n".repeat(10_000).as_bytes());
    assert_eq!(terminal.term.grid().history_size(), SCROLLBACK_LINES);
    terminal.output("\x1b[c".repeat(100_000).as_bytes());
    assert!(terminal.take_replies().len() <= REPLIES_MAX);
}

#[test]
fn a_synchronized_update_is_not_held_back() {
    let mut terminal = Terminal::new(SIZE);
    terminal.output(b"\x1b[?2026hx");
    assert_eq!(terminal.term.grid()[Line(0)][Column(0)].c, 'x');
}

#[test]
fn a_saved_terminal_survives_json() {
    let saved = SavedTerminal {
        size: SIZE,
        title: Some("t".into()),
        repaint: vec![0, 27, 255],
        termios: None,
        pending_input: vec![3],
        unread_input: vec![],
    };
    let text = serde_json::to_string(&saved).unwrap();
    assert!(text.contains("\"repaint\":\"ABv/\""), "{text}");
    assert_eq!(serde_json::from_str::<SavedTerminal>(&text).unwrap(), saved);
}

fn drawn(terminal: &Terminal) -> String {
    terminal.draw().expect("a drawing").svg
}

#[test]
fn a_drawing_has_text_colours_attributes_and_cursor() {
    let mut terminal = Terminal::new(WindowSize { columns: 20, rows: 3 });
    terminal.output(b"plain \x1b[1;31mred\x1b[0m\r\n\x1b[7mback\x1b[0m \x1b[4;38;2;1;2;3mline\x1b[0m");
    let svg = drawn(&terminal);
    assert!(svg.contains(">plain </text>"), "{svg}");
    assert!(svg.contains(r##"fill="#e06c75" font-weight="bold">red</text>"##), "{svg}");
    assert!(svg.contains(r##"fill="#d7dbe0"/>"##) && svg.contains(r##"fill="#151a21">back<"##), "{svg}");
    assert!(svg.contains(r##"fill="#010203" style="text-decoration: underline">line<"##), "{svg}");
    assert!(svg.contains(r#"x="89" y="26" width="9" height="18""#), "the cursor: {svg}");
    terminal.output(b"\x1b[?25l");
    assert!(!drawn(&terminal).contains("fill-opacity"));
}

#[test]
fn nothing_that_a_program_prints_gets_out_of_its_text() {
    let mut terminal = Terminal::new(WindowSize { columns: 60, rows: 4 });
    terminal.output("</text><script>alert(1)</script>&\u{202e}\u{fffe} \u{85}".as_bytes());
    terminal.output(b"\r\n\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07 \x1b]2;<title>\x07");
    let svg = drawn(&terminal);
    assert!(svg.contains("&lt;/text&gt;&lt;script&gt;"), "{svg}");
    for never in ["<script", "javascript", "<title", "\u{202e}", "\u{fffe}"] {
        assert!(!svg.contains(never), "{never}: {svg}");
    }
}

#[test]
fn wide_characters_keep_two_cells() {
    let mut terminal = Terminal::new(WindowSize { columns: 10, rows: 2 });
    terminal.output("a\u{6f22}b".as_bytes());
    let svg = drawn(&terminal);
    assert!(svg.contains(r#"<text x="17" y="22" textLength="18""#), "{svg}");
    assert!(svg.contains(r#"<text x="35" y="22""#), "{svg}");
}

#[test]
fn a_drawing_without_end_is_not_made() {
    let mut terminal = Terminal::new(WindowSize { columns: 1000, rows: 200 });
    for cell in 0..200_000 {
        terminal.output(format!("\x1b[38;5;{}mx", cell % 200 + 16).as_bytes());
    }
    assert_eq!(terminal.draw(), None);
}
