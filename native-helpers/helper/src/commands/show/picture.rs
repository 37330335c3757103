//! `show --picture FILE`: what the application showed when its image was made, as a file for people.
//!
//! A display's picture is part of the image; a terminal's is drawn anew from the terminal that the image holds.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use torpor_capsule::terminal::{SavedTerminal, Terminal};
use torpor_engine::model::SystemState;
use torpor_image::cbor;

use crate::exit::ErrorCode;
use crate::failure::Failure;
use crate::picture::Pixels;

/// Larger terminals are not made by hand: columns and rows that a protocol of ours can name.
const MAX_SIDE: u16 = 1000;

/// A picture and what it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// `png` or `svg`.
    format: &'static str,
    /// In pixels.
    width: u32,
    height: u32,
    #[serde(skip)]
    bytes: Vec<u8>,
}

/// What an image has a picture of, without making it: `png` of a display, `svg` of a terminal.
pub fn format(state: &SystemState) -> Option<&'static str> {
    match (&state.picture, &state.terminal) {
        (Some(_), _) => Some("png"),
        (None, Some(_)) => Some("svg"),
        (None, None) => None,
    }
}

/// # Errors
/// An image without a picture, or with one that is not what it should be.
pub fn of(state: &SystemState) -> Result<Shown, Failure> {
    let damaged = |what: String| Failure::new(ErrorCode::Damaged, what);
    if let Some(picture) = &state.picture {
        // Written anew from its pixels, so that a forged file gets no further than here.
        let bytes = Pixels::of(picture)
            .and_then(|pixels| pixels.png())
            .map_err(|e| damaged(format!("the image's picture can't be used: {e}")))?;
        return Ok(Shown { format: "png", width: picture.width, height: picture.height, bytes });
    }
    let Some(terminal) = &state.terminal else {
        let message = match &state.display {
            Some(_) => {
                "it has no picture of its display: the display did not answer when the image was made, or the image is older than pictures are"
            }
            None => "it has no picture: the application has neither a display nor a terminal",
        };
        return Err(Failure::new(ErrorCode::NoPicture, message));
    };
    let saved: SavedTerminal = cbor::from_slice(&terminal.screen)
        .map_err(|e| damaged(format!("the image's terminal can't be understood: {e}")))?;
    let (columns, rows) = (saved.size.columns, saved.size.rows);
    if columns > MAX_SIDE || rows > MAX_SIDE {
        return Err(damaged(format!("a terminal of {columns}x{rows} can't be drawn")));
    }
    let drawing = Terminal::from_saved(&saved)
        .draw()
        .ok_or_else(|| damaged("the picture of its terminal would be too large".to_owned()))?;
    Ok(Shown {
        format: "svg",
        width: drawing.width as u32,
        height: drawing.height as u32,
        bytes: drawing.svg.into_bytes(),
    })
}

impl Shown {
    /// Writes the file anew, for its owner's eyes only; another file of that name is replaced once it is whole.
    ///
    /// # Errors
    /// A folder that is not there, has no room, or may not be written to.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let failed = |e: &std::io::Error| {
            let code = match e.kind() {
                std::io::ErrorKind::PermissionDenied => ErrorCode::NotPermitted,
                std::io::ErrorKind::StorageFull => ErrorCode::NoRoom,
                _ => ErrorCode::Resource,
            };
            Failure::new(code, format!("writing the picture {}: {e}", path.display()))
        };
        if path.is_dir() {
            return Err(Failure::usage(format!("--picture {} is a folder: name a file", path.display())));
        }
        let name = path.file_name().ok_or_else(|| Failure::usage("--picture needs the name of a file"))?;
        let mut unfinished = name.to_owned();
        unfinished.push(format!(".{}-new", std::process::id()));
        let unfinished = Unfinished(path.with_file_name(unfinished));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished.0)
            .map_err(|e| failed(&e))?;
        file.write_all(&self.bytes).and_then(|()| File::sync_all(&file)).map_err(|e| failed(&e))?;
        std::fs::rename(&unfinished.0, path).map_err(|e| failed(&e))
    }
}

/// A file that goes unless it has got its name.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
