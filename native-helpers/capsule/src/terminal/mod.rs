//! What the capsule's terminal shows, kept so that it can be painted again: for a client that
//! attaches, and after a restore.
//!
//! The terminal itself is `alacritty_terminal`, a complete and well-kept state machine (scrollback,
//! alternate screen, colours, modes, reflow). It is never stored: what goes into an image is
//! [`SavedTerminal`], the bytes that repaint it, which any terminal of any version understands.

mod drawing;
mod repaint;
mod tracker;

use crate::pty::{Termios, WindowSize};
use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::term::{Config, Osc52, Term};
use alacritty_terminal::vte::ansi::{Processor, Timeout};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;
use tracker::Tracker;

pub use drawing::Drawing;

/// Most lines of scrollback.
const SCROLLBACK_LINES: usize = 2_000;
/// Most cells of scrollback: a cell takes 24 bytes, so wide terminals keep fewer lines.
const SCROLLBACK_CELLS: usize = 400_000;
/// Answers that nobody has collected; a program that only asks can't make this grow.
const REPLIES_MAX: usize = 64 << 10;

/// A terminal as an image keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedTerminal {
    pub size: WindowSize,
    pub title: Option<String>,
    /// Paints scrollback, screen, modes, cursor and title on a fresh terminal of this size.
    #[serde(with = "bytes")]
    pub repaint: Vec<u8>,
    /// Attributes of the line discipline.
    pub termios: Option<Termios>,
    /// Input that init had taken from clients and not yet passed on.
    #[serde(with = "bytes", default)]
    pub pending_input: Vec<u8>,
    /// Input that the application had not read yet, in order, typed but unfinished lines included.
    #[serde(with = "bytes", default)]
    pub unread_input: Vec<u8>,
}

/// Bytes as base64 in JSON, as bytes in binary formats such as CBOR.
pub(crate) mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(bytes))
        } else {
            serializer.serialize_bytes(bytes)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
        } else {
            serde_bytes::ByteBuf::deserialize(deserializer).map(serde_bytes::ByteBuf::into_vec)
        }
    }
}

/// Collects what the terminal wants to tell.
#[derive(Clone, Default)]
struct Listener(Rc<RefCell<Heard>>);

#[derive(Default)]
struct Heard {
    title: Option<String>,
    replies: Vec<u8>,
}

impl EventListener for Listener {
    fn send_event(&self, event: Event) {
        let mut heard = self.0.borrow_mut();
        match event {
            Event::Title(title) => heard.title = Some(title),
            Event::ResetTitle => heard.title = None,
            Event::PtyWrite(text) if heard.replies.len() + text.len() <= REPLIES_MAX => {
                heard.replies.extend_from_slice(text.as_bytes());
            }
            _ => {}
        }
    }
}

/// Synchronized updates exist to avoid flicker; nothing is shown here, and holding bytes back
/// would make snapshots lie.
#[derive(Default)]
struct NeverWait;

impl Timeout for NeverWait {
    fn set_timeout(&mut self, _: Duration) {}
    fn clear_timeout(&mut self) {}
    fn pending_timeout(&self) -> bool {
        false
    }
}

struct Size(WindowSize);

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        self.screen_lines()
    }
    fn screen_lines(&self) -> usize {
        usize::from(self.0.rows.max(1))
    }
    fn columns(&self) -> usize {
        // The state machine needs room for one wide character.
        usize::from(self.0.columns.max(2))
    }
}

/// The capsule's terminal.
pub struct Terminal {
    term: Term<Listener>,
    parser: Processor<NeverWait>,
    tracker: Tracker,
    heard: Listener,
    size: WindowSize,
}

impl Terminal {
    pub fn new(size: WindowSize) -> Self {
        let heard = Listener::default();
        let term = Term::new(config(size), &Size(size), heard.clone());
        Self { term, parser: Processor::new(), tracker: Tracker::new(size.rows), heard, size }
    }

    /// A terminal that shows what a saved one showed.
    pub fn from_saved(saved: &SavedTerminal) -> Self {
        let mut terminal = Self::new(saved.size);
        terminal.output(&saved.repaint);
        terminal.take_replies();
        terminal
    }

    /// Takes what the application wrote.
    pub fn output(&mut self, bytes: &[u8]) {
        self.tracker.output(bytes);
        let parsed = catch_unwind(AssertUnwindSafe(|| self.parser.advance(&mut self.term, bytes)));
        if parsed.is_err() {
            // A defect in the state machine costs the screen's memory, never the application.
            tracing::error!("the terminal's state was lost to a defect in its state machine; started afresh");
            *self = Self::new(self.size);
        }
    }

    pub fn resize(&mut self, size: WindowSize) {
        if size == self.size {
            return;
        }
        self.size = size;
        self.term.set_options(config(size));
        let resized = catch_unwind(AssertUnwindSafe(|| self.term.resize(Size(size))));
        self.tracker.resize(size.rows);
        if resized.is_err() {
            tracing::error!("the terminal's state was lost when it was resized; started afresh");
            *self = Self::new(size);
        }
    }

    pub fn size(&self) -> WindowSize {
        self.size
    }

    pub fn title(&self) -> Option<String> {
        self.heard.0.borrow().title.clone()
    }

    /// Answers to the application's questions (device attributes, cursor position). An attached
    /// client's terminal answers itself, so they are only passed on when there is none.
    pub fn take_replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.heard.0.borrow_mut().replies)
    }

    /// A picture of the screen; `None` where it would get too long.
    pub fn draw(&self) -> Option<Drawing> {
        catch_unwind(AssertUnwindSafe(|| drawing::draw(&self.term))).ok().flatten()
    }

    /// Bytes that paint all of this on another terminal. Ends with the beginning of whatever
    /// sequence the application has not finished writing, so that its rest makes sense there.
    pub fn repaint(&mut self) -> Vec<u8> {
        let title = self.title();
        let mut bytes = repaint::paint(&mut self.term, &self.tracker, title.as_deref());
        bytes.extend_from_slice(self.tracker.unfinished());
        bytes
    }
}

fn config(size: WindowSize) -> Config {
    let columns = usize::from(size.columns.max(2));
    Config {
        scrolling_history: SCROLLBACK_LINES.min(SCROLLBACK_CELLS / columns),
        osc52: Osc52::Disabled,
        // Not every client's terminal has it, and an answer given for one binds them all.
        kitty_keyboard: false,
        ..Config::default()
    }
}

#[cfg(test)]
mod tests;
