//! `verify`: reads every block of an image and decodes its system state.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use torpor_image::ImageError;

use super::opened_image;
use crate::exit::ErrorCode;
use crate::failure::Failure;
use crate::session::Session;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    image_id: String,
    ok: bool,
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
    let image = opened_image::open(path)?;
    opened_image::state(path, &image)?;
    let verified = image.verify(|at| {
        session.step("verify", at.done_bytes, at.total_bytes);
        if session.stop.is_set() { Err(Ended::Cancelled) } else { Ok(()) }
    });
    match verified {
        Ok(report) => Ok(Report {
            image_id: image.info().image_id.to_string(),
            ok: true,
            blocks: report.blocks,
            bytes: report.bytes,
            duration_ms: begun.elapsed().as_secs_f64() * 1e3,
        }),
        Err(Ended::Image(e)) => Err(opened_image::named(path, e.into())),
        Err(Ended::Cancelled) => {
            Err(Failure::new(ErrorCode::Cancelled, "cancelled before all of the image was read"))
        }
    }
}
