//! `verify`: reads every block of an image and of those that it builds on, and decodes its system state.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use torpor_image::{ImageError, ImageReader};

use super::opened_image;
use crate::exit::ErrorCode;
use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    image_id: String,
    ok: bool,
    /// How many images it builds on; they were read too.
    parents: usize,
    blocks: u64,
    bytes: u64,
    duration_ms: f64,
}

/// Ends a verification: damage, or the caller's wish.
enum Ended {
    Image(ImageError),
    Cancelled,
}

impl From<ImageError> for Ended {
    fn from(e: ImageError) -> Ended {
        Ended::Image(e)
    }
}

pub fn run(path: &Path, session: &mut Session) -> Result<Report, Failure> {
    let begun = Instant::now();
    let chain = opened_image::open_chain(path, &[])?;
    opened_image::state(path, chain.youngest())?;
    let total: u64 = chain.images().iter().map(ImageReader::file_len).sum();
    let (mut blocks, mut bytes) = (0, 0);
    for (depth, image) in chain.images().iter().enumerate() {
        let verified = image.verify(|at| {
            session.step("verify", bytes + at.done_bytes, total);
            if session.stop.is_set() { Err(Ended::Cancelled) } else { Ok(()) }
        });
        match verified {
            Ok(report) => {
                blocks += report.blocks;
                bytes += report.bytes;
            }
            Err(Ended::Image(e)) => {
                let failure = Failure::from(e);
                let id = image.info().image_id;
                return Err(match depth {
                    0 => opened_image::named(path, failure),
                    _ => {
                        let message = format!("image {id}, which it builds on: {}", failure.message);
                        opened_image::named(path, Failure { message, ..failure })
                    }
                });
            }
            Err(Ended::Cancelled) => {
                return Err(Failure::new(ErrorCode::Cancelled, "cancelled before all of the image was read"));
            }
        }
    }
    Ok(Report {
        image_id: chain.youngest().info().image_id.to_string(),
        ok: true,
        parents: chain.images().len() - 1,
        blocks,
        bytes,
        duration_ms: begun.elapsed().as_secs_f64() * 1e3,
    })
}
