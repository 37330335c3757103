//! Pictures of a private display's screen: taken from its server, made small enough for an image, and read
//! back out of an image that nobody has to trust.

mod screen;

use std::fmt;
use std::io::Cursor;

use torpor_engine::model::{MAX_PICTURE_LEN, Picture};

pub use self::screen::Screen;

/// The largest display that there is: see `torpor_capsule::DisplaySize`.
const MAX_WIDTH: u32 = 7680;
const MAX_HEIGHT: u32 = 4320;
/// A screen of more pixels is shown at half its size, or a third: 2560x1600 are shown as they are.
const MAX_SHOWN: usize = 4 << 20;

/// Rows from the top, three bytes (red, green, blue) per pixel.
#[derive(Debug, PartialEq, Eq)]
pub struct Pixels {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("a picture of {width}x{height} pixels is not possible")]
    Size { width: u32, height: u32 },
    #[error("it can't be written as PNG: {0}")]
    Encode(#[from] png::EncodingError),
    #[error("it is no PNG file that was written here: {0}")]
    Foreign(String),
}

impl Pixels {
    /// All black.
    fn new(width: u32, height: u32) -> Result<Pixels, PictureError> {
        if width == 0 || height == 0 || width > MAX_WIDTH || height > MAX_HEIGHT {
            return Err(PictureError::Size { width, height });
        }
        Ok(Pixels { width, height, rgb: vec![0; width as usize * height as usize * 3] })
    }

    /// The bytes of `count` pixels of a row, from column `x` on.
    fn row(&mut self, x: u32, y: u32, count: u32) -> &mut [u8] {
        let start = (y as usize * self.width as usize + x as usize) * 3;
        &mut self.rgb[start..start + count as usize * 3]
    }

    /// Each pixel the mean of `factor` times `factor`; what is left over at the right and the bottom goes.
    fn smaller(&self, factor: u32) -> Pixels {
        let (width, height) = ((self.width / factor).max(1), (self.height / factor).max(1));
        let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
        let (across, down) = (factor.min(self.width), factor.min(self.height));
        for y in 0..height {
            for x in 0..width {
                let mut sums = [0u32; 3];
                for line in 0..down {
                    let row = (y * factor + line) as usize * self.width as usize;
                    let start = (row + (x * factor) as usize) * 3;
                    for pixel in self.rgb[start..start + across as usize * 3].chunks_exact(3) {
                        for (sum, value) in sums.iter_mut().zip(pixel) {
                            *sum += u32::from(*value);
                        }
                    }
                }
                rgb.extend(sums.map(|sum| (sum / (across * down)) as u8));
            }
        }
        Pixels { width, height, rgb }
    }

    /// As an image holds it: smaller until it fits.
    pub fn into_picture(mut self) -> Result<Picture, PictureError> {
        let pixels = self.width as usize * self.height as usize;
        if pixels > MAX_SHOWN {
            let factor = (2..).find(|f: &u32| pixels / (f * f) as usize <= MAX_SHOWN).unwrap_or(u32::MAX);
            self = self.smaller(factor);
        }
        loop {
            let png = self.png()?;
            if png.len() <= MAX_PICTURE_LEN {
                return Ok(Picture { width: self.width, height: self.height, png });
            }
            self = self.smaller(2);
        }
    }

    /// A PNG file of 8-bit RGB, without anything that isn't pixels.
    pub fn png(&self) -> Result<Vec<u8>, PictureError> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        // Somebody waits for the capture: a picture that is half as large again costs less than they do.
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(file)
    }

    /// Reads a picture of an image, which may hold anything: bounds first, then every byte of it.
    pub fn of(picture: &Picture) -> Result<Pixels, PictureError> {
        let foreign = |reason: &dyn fmt::Display| PictureError::Foreign(reason.to_string());
        if picture.png.len() > MAX_PICTURE_LEN {
            return Err(foreign(&format_args!("it has more than {MAX_PICTURE_LEN} bytes")));
        }
        let mut pixels = Pixels::new(picture.width, picture.height)?;
        let limits = png::Limits { bytes: pixels.rgb.len() + (1 << 20) };
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(&picture.png), limits);
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let mut reader = decoder.read_info().map_err(|e| foreign(&e))?;
        let info = reader.info();
        let kind = (info.color_type, info.bit_depth, info.interlaced, info.is_animated());
        if kind != (png::ColorType::Rgb, png::BitDepth::Eight, false, false) {
            return Err(foreign(&"it is not of 8-bit RGB"));
        }
        if (info.width, info.height) != (picture.width, picture.height) {
            return Err(foreign(&"it has another size than the image says"));
        }
        reader.next_frame(&mut pixels.rgb).map_err(|e| foreign(&e))?;
        reader.finish().map_err(|e| foreign(&e))?;
        Ok(pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels that don't compress.
    fn noise(width: u32, height: u32) -> Pixels {
        let mut pixels = Pixels::new(width, height).unwrap();
        let mut state = 1u32;
        for byte in &mut pixels.rgb {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        pixels
    }

    #[test]
    fn a_picture_comes_back_pixel_by_pixel() {
        let pixels = noise(130, 70);
        let picture = noise(130, 70).into_picture().unwrap();
        assert_eq!((picture.width, picture.height), (130, 70));
        assert_eq!(Pixels::of(&picture).unwrap(), pixels);
    }

    #[test]
    fn a_large_screen_is_shown_smaller_until_it_fits() {
        let large = Pixels::new(7680, 4320).unwrap().into_picture().unwrap();
        assert_eq!((large.width, large.height), (2560, 1440));
        let detailed = noise(2000, 1500).into_picture().unwrap();
        assert_eq!((detailed.width, detailed.height), (1000, 750));
        assert!(detailed.png.len() <= MAX_PICTURE_LEN);
    }

    #[test]
    fn a_smaller_pixel_is_the_mean_of_those_it_stands_for() {
        let mut pixels = Pixels::new(5, 2).unwrap();
        pixels.row(0, 0, 2).copy_from_slice(&[10, 20, 30, 20, 30, 40]);
        pixels.row(0, 1, 2).copy_from_slice(&[30, 40, 50, 40, 50, 60]);
        pixels.row(2, 0, 2).fill(200);
        let smaller = pixels.smaller(2);
        assert_eq!((smaller.width, smaller.height), (2, 1));
        assert_eq!(smaller.rgb, [25, 35, 45, 100, 100, 100]);
    }

    #[test]
    fn a_picture_that_is_forged_is_refused() {
        let good = noise(64, 64).into_picture().unwrap();
        let refused = |picture: Picture| Pixels::of(&picture).unwrap_err().to_string();
        assert!(refused(Picture { width: 32, ..good.clone() }).contains("another size"));
        assert!(refused(Picture { width: 0, ..good.clone() }).contains("not possible"));
        assert!(refused(Picture { height: 65_535, ..good.clone() }).contains("not possible"));
        assert!(refused(Picture { png: b"<svg/>".to_vec(), ..good.clone() }).contains("no PNG"));
        assert!(refused(Picture { png: vec![0; MAX_PICTURE_LEN + 1], ..good.clone() }).contains("more than"));
        for cut in [0, 8, 33, 60, good.png.len() / 2] {
            refused(Picture { png: good.png[..cut].to_vec(), ..good.clone() });
        }
        let mut grey = Vec::new();
        let mut encoder = png::Encoder::new(&mut grey, 64, 64);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[7; 64 * 64]).unwrap();
        assert!(refused(Picture { png: grey, ..good }).contains("8-bit RGB"));
    }
}
