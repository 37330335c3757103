//! The terminal protocol on `attach.sock`: frames, and a blocking client.
//!
//! ```text
//! u8 type | u32 little-endian payload length (at most 1 MiB) | payload
//! ```
//!
//! | to init | payload |
//! | --- | --- |
//! | `A` attach, first | u16 columns, u16 rows (little-endian); 0, 0: keep the size |
//! | `V` view only, first | none; its input and resizes are ignored |
//! | `I` input | bytes |
//! | `R` resize | u16 columns, u16 rows |
//!
//! | from init | payload |
//! | --- | --- |
//! | `Z` size | u16 columns, u16 rows: before the first `S` when the client did not choose the size, later whenever it changed |
//! | `S` snapshot | bytes that repaint scrollback, screen, modes, title and cursor; more than one frame when it is long |
//! | `O` output | bytes |
//! | `X` exit | JSON as `exit.json`; the connection ends after it |
//! | `E` error | text; the connection ends after it |
//!
//! Several clients at once; the last resize wins. A client that does not read is dropped.

use crate::pty::WindowSize;
use crate::runtime_folder::{self, ATTACH_SOCKET};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Largest payload of a frame.
pub const PAYLOAD_MAX: usize = 1 << 20;
const HEADER: usize = 5;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Attach(WindowSize),
    View,
    Input(Vec<u8>),
    Resize(WindowSize),
    Size(WindowSize),
    Snapshot(Vec<u8>),
    Output(Vec<u8>),
    Exit(Vec<u8>),
    Error(String),
}

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes is longer than {PAYLOAD_MAX}")]
    TooLong(usize),
    #[error("unknown frame type {0:#04x}")]
    UnknownType(u8),
    #[error("a size needs four bytes, not {0}")]
    BadSize(usize),
}

impl Frame {
    /// Appends the frame; payloads beyond [`PAYLOAD_MAX`] become several frames of the same type.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let size = |kind: u8, size: &WindowSize, into: &mut Vec<u8>| {
            let mut payload = size.columns.to_le_bytes().to_vec();
            payload.extend_from_slice(&size.rows.to_le_bytes());
            encode_bytes(kind, &payload, into);
        };
        match self {
            Self::Attach(s) => size(b'A', s, into),
            Self::Resize(s) => size(b'R', s, into),
            Self::Size(s) => size(b'Z', s, into),
            Self::View => encode_bytes(b'V', &[], into),
            Self::Input(bytes) => encode_bytes(b'I', bytes, into),
            Self::Snapshot(bytes) => encode_bytes(b'S', bytes, into),
            Self::Output(bytes) => encode_bytes(b'O', bytes, into),
            Self::Exit(json) => encode_bytes(b'X', json, into),
            Self::Error(text) => encode_bytes(b'E', text.as_bytes(), into),
        }
    }

    /// Takes one frame off the front of `buffer`; `None` when it is not complete yet.
    ///
    /// # Errors
    /// When the bytes can't become a frame; the connection is of no further use.
    pub fn decode(buffer: &mut Vec<u8>) -> Result<Option<Self>, FrameError> {
        let Some(header) = buffer.get(..HEADER) else { return Ok(None) };
        let kind = header[0];
        if !b"AVIRZSOXE".contains(&kind) {
            return Err(FrameError::UnknownType(kind));
        }
        let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if length > PAYLOAD_MAX {
            return Err(FrameError::TooLong(length));
        }
        if buffer.len() < HEADER + length {
            return Ok(None);
        }
        let payload: Vec<u8> = buffer.drain(..HEADER + length).skip(HEADER).collect();
        let size = || match payload[..] {
            [a, b, c, d] => {
                Ok(WindowSize { columns: u16::from_le_bytes([a, b]), rows: u16::from_le_bytes([c, d]) })
            }
            _ => Err(FrameError::BadSize(payload.len())),
        };
        Ok(Some(match kind {
            b'A' => Self::Attach(size()?),
            b'R' => Self::Resize(size()?),
            b'Z' => Self::Size(size()?),
            b'V' => Self::View,
            b'I' => Self::Input(payload),
            b'S' => Self::Snapshot(payload),
            b'O' => Self::Output(payload),
            b'X' => Self::Exit(payload),
            _ => Self::Error(String::from_utf8_lossy(&payload).into_owned()),
        }))
    }
}

fn encode_bytes(kind: u8, payload: &[u8], into: &mut Vec<u8>) {
    let mut rest = payload;
    loop {
        let (now, later) = rest.split_at(rest.len().min(PAYLOAD_MAX));
        into.push(kind);
        into.extend_from_slice(&u32::try_from(now.len()).unwrap_or(0).to_le_bytes());
        into.extend_from_slice(now);
        rest = later;
        if rest.is_empty() {
            return;
        }
    }
}

/// A blocking client.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects to the capsule with this runtime folder.
    ///
    /// # Errors
    /// The connection's.
    pub fn connect(folder: &Path) -> io::Result<Self> {
        Ok(Self { stream: runtime_folder::connect(folder, ATTACH_SOCKET)?, buffer: Vec::new() })
    }

    /// # Errors
    /// The connection's.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.stream.write_all(&bytes)
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// The connection's, or `InvalidData` for bytes that are no frame.
    pub fn receive(&mut self) -> io::Result<Option<Frame>> {
        loop {
            match Frame::decode(&mut self.buffer) {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            let mut chunk = [0; 16_384];
            match self.stream.read(&mut chunk)? {
                0 => return Ok(None),
                length => self.buffer.extend_from_slice(&chunk[..length]),
            }
        }
    }

    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_in_pieces() {
        let size = WindowSize { columns: 80, rows: 24 };
        let frames = [
            Frame::Attach(size),
            Frame::View,
            Frame::Input(b"ls\n".to_vec()),
            Frame::Resize(size),
            Frame::Size(size),
            Frame::Snapshot(vec![]),
            Frame::Output(vec![0; 300]),
            Frame::Exit(b"{}".to_vec()),
            Frame::Error("no".into()),
        ];
        let mut wire = Vec::new();
        frames.iter().for_each(|f| f.encode(&mut wire));
        let (mut buffer, mut seen) = (Vec::new(), Vec::new());
        for byte in wire {
            buffer.push(byte);
            if let Some(frame) = Frame::decode(&mut buffer).unwrap() {
                seen.push(frame);
            }
        }
        assert_eq!(seen, frames);
    }

    #[test]
    fn a_long_snapshot_becomes_several_frames() {
        let mut wire = Vec::new();
        Frame::Snapshot(vec![7; PAYLOAD_MAX + 1]).encode(&mut wire);
        let first = Frame::decode(&mut wire).unwrap();
        assert_eq!(first, Some(Frame::Snapshot(vec![7; PAYLOAD_MAX])));
        assert_eq!(Frame::decode(&mut wire).unwrap(), Some(Frame::Snapshot(vec![7])));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(Frame::decode(&mut b"GET / HTTP".to_vec()), Err(FrameError::UnknownType(b'G')));
        assert_eq!(Frame::decode(&mut b"I\xff\xff\xff\xff".to_vec()), Err(FrameError::TooLong(0xffff_ffff)));
        assert_eq!(Frame::decode(&mut b"R\x01\0\0\0x".to_vec()), Err(FrameError::BadSize(1)));
    }
}
