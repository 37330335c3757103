//! What a repaint needs and the state machine keeps to itself: the scroll region, which character
//! set is shifted in, and the beginning of a sequence that is not complete yet.

use alacritty_terminal::vte::{Params, Parser, Perform};

/// Longest unfinished sequence that is kept; a longer one (an image, say) is not repeated.
const UNFINISHED_MAX: usize = 64 << 10;

pub struct Tracker {
    parser: Parser,
    seen: Seen,
    tail: Tail,
}

#[derive(Default)]
struct Seen {
    rows: u16,
    /// First and last row, from 1; `None`: the whole screen.
    scroll_region: Option<(u16, u16)>,
    shifted_out: bool,
}

impl Tracker {
    pub fn new(rows: u16) -> Self {
        Self { parser: Parser::new(), seen: Seen { rows, ..Seen::default() }, tail: Tail::default() }
    }

    pub fn output(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.seen, bytes);
        for byte in bytes {
            self.tail.push(*byte);
        }
    }

    /// A resize makes the region the whole screen again.
    pub fn resize(&mut self, rows: u16) {
        self.seen.rows = rows;
        self.seen.scroll_region = None;
    }

    pub fn scroll_region(&self) -> Option<(u16, u16)> {
        self.seen.scroll_region
    }

    /// Whether G1 is in use instead of G0.
    pub fn is_shifted_out(&self) -> bool {
        self.seen.shifted_out
    }

    pub fn unfinished(&self) -> &[u8] {
        &self.tail.bytes
    }
}

impl Perform for Seen {
    fn execute(&mut self, byte: u8) {
        match byte {
            0x0e => self.shifted_out = true,
            0x0f => self.shifted_out = false,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        let mut numbers = params.iter().map(|p| p.first().copied().unwrap_or(0));
        match (action, intermediates, ignore) {
            ('r', [], false) => {
                let top = numbers.next().unwrap_or(0).max(1);
                let bottom = match numbers.next().unwrap_or(0) {
                    0 => self.rows,
                    row => row.min(self.rows),
                };
                if top < bottom {
                    self.scroll_region = ((top, bottom) != (1, self.rows)).then_some((top, bottom));
                }
            }
            // 80/132 columns, whether supported or not, resets the region.
            ('h' | 'l', [b'?'], false) if numbers.any(|n| n == 3) => self.scroll_region = None,
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _: bool, byte: u8) {
        if (intermediates, byte) == (&[], b'c') {
            *self = Self { rows: self.rows, ..Self::default() };
        }
    }
}

/// Follows just enough of the syntax to know whether the last bytes form a whole.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    state: TailState,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum TailState {
    #[default]
    Ground,
    /// So many continuation bytes of a UTF-8 character are missing.
    Utf8(u8),
    Escape,
    /// `ESC` and intermediates, waiting for a final byte.
    EscapeIntermediate,
    Csi,
    /// OSC, DCS, APC, PM or SOS, waiting for BEL or ST.
    Text,
    TextEscape,
}

impl Tail {
    fn push(&mut self, byte: u8) {
        use TailState as S;
        let next = match (self.state, byte) {
            (_, 0x18 | 0x1a) => S::Ground,
            (S::Text, 0x07) | (S::TextEscape, b'\\') => S::Ground,
            (S::Text, 0x1b) => S::TextEscape,
            (S::Text, _) => S::Text,
            (_, 0x1b) => {
                self.bytes.clear();
                S::Escape
            }
            (S::Escape | S::TextEscape, b'[') => S::Csi,
            (S::Escape | S::TextEscape, b']' | b'P' | b'X' | b'^' | b'_') => S::Text,
            (S::Escape | S::EscapeIntermediate, 0x20..=0x2f) => S::EscapeIntermediate,
            (S::Csi, 0x40..=0x7e) => S::Ground,
            // Control characters act inside a sequence without ending it.
            (S::Escape | S::EscapeIntermediate | S::Csi, 0x00..=0x1f) => {
                return;
            }
            (S::Csi, 0x20..=0x3f) => S::Csi,
            (S::Utf8(left @ 2..), 0x80..=0xbf) => S::Utf8(left - 1),
            (S::Ground | S::Utf8(_), 0xc2..=0xdf) => S::Utf8(1),
            (S::Ground | S::Utf8(_), 0xe0..=0xef) => S::Utf8(2),
            (S::Ground | S::Utf8(_), 0xf0..=0xf4) => S::Utf8(3),
            _ => S::Ground,
        };
        if matches!(next, S::Utf8(_)) && byte >= 0xc2 {
            self.bytes.clear();
        }
        self.state = next;
        if next == S::Ground || self.bytes.len() >= UNFINISHED_MAX {
            self.bytes.clear();
        } else {
            self.bytes.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(bytes: &[u8]) -> Tracker {
        let mut tracker = Tracker::new(24);
        tracker.output(bytes);
        tracker
    }

    #[test]
    fn only_what_is_unfinished_is_kept() {
        for (bytes, unfinished) in [
            (&b"hello"[..], &b""[..]),
            (b"hello\x1b", b"\x1b"),
            (b"\x1b[31mred\x1b[3", b"\x1b[3"),
            (b"\x1b[1;2H", b""),
            (b"\x1b]0;ti", b"\x1b]0;ti"),
            (b"\x1b]0;title\x07", b""),
            (b"\x1b]0;title\x1b\\", b""),
            (b"\x1bPq#0", b"\x1bPq#0"),
            (b"\x1b(", b"\x1b("),
            (b"\x1b(0", b""),
            (b"a\xe2\x94", b"\xe2\x94"),
            (b"a\xe2\x94\x80", b""),
            (b"\x1b[3\x18", b""),
        ] {
            assert_eq!(after(bytes).unfinished(), unfinished, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_scroll_region_is_followed() {
        assert_eq!(after(b"\x1b[2;10r").scroll_region(), Some((2, 10)));
        assert_eq!(after(b"\x1b[2;10r\x1b[r").scroll_region(), None);
        assert_eq!(after(b"\x1b[5r").scroll_region(), Some((5, 24)));
        assert_eq!(after(b"\x1b[9;3r").scroll_region(), None);
        assert_eq!(after(b"\x1b[2;10r\x1bc").scroll_region(), None);
        assert!(after(b"\x0e").is_shifted_out());
        assert!(!after(b"\x0e\x0f").is_shifted_out());
    }
}
