//! Asks a display's server for its screen: one full update over RFB (RFC 6143), and no more. The whole
//! conversation has a limit, because somebody waits for the capture that it belongs to.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use torpor_engine::model::Picture;

use super::Pixels;

/// What greeting and picture may take together. A server that is busy answers in some ten milliseconds.
const LIMIT: Duration = Duration::from_millis(1000);
/// Longest text that a server may send along (its name, a clipboard) before it is given up.
const MAX_TEXT: u32 = 1 << 20;
/// A server that sends so many messages that are no picture is not going to.
const MAX_MESSAGES: usize = 1000;

const SECURITY_NONE: u8 = 1;
const RAW: i32 = 0;
/// 32 bits per pixel, of which 24 are used; little-endian, true colour, blue first.
const PIXEL_FORMAT: [u8; 16] = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];

/// A connection to a display's server that has shaken hands.
pub struct Screen {
    server: UnixStream,
    width: u16,
    height: u16,
    /// Of [`LIMIT`].
    left: Duration,
}

impl Screen {
    /// # Errors
    /// A server that says no, talks nonsense, or takes too long.
    pub fn greet(server: UnixStream) -> io::Result<Screen> {
        let mut screen = Screen { server, width: 0, height: 0, left: LIMIT };
        screen.timed(Screen::handshake)?;
        Ok(screen)
    }

    /// The screen as it is now. The connection is closed by it.
    pub fn picture(mut self) -> io::Result<Picture> {
        let pixels = self.timed(Screen::pixels)?;
        drop(self);
        pixels.into_picture().map_err(io::Error::other)
    }

    /// Takes the time that `work` needs out of the limit.
    fn timed<T>(&mut self, work: fn(&mut Conversation<'_>) -> io::Result<T>) -> io::Result<T> {
        let begun = Instant::now();
        let mut conversation = Conversation {
            server: &self.server,
            until: begun + self.left,
            width: self.width,
            height: self.height,
        };
        let done = work(&mut conversation);
        (self.width, self.height) = (conversation.width, conversation.height);
        self.left = self.left.saturating_sub(begun.elapsed());
        done
    }

    fn handshake(with: &mut Conversation<'_>) -> io::Result<()> {
        let version: [u8; 12] = with.bytes()?;
        if !version.starts_with(b"RFB 003.") {
            return Err(nonsense("it speaks no RFB"));
        }
        with.say(b"RFB 003.008\n")?;
        let [count] = with.bytes()?;
        let mut kinds = vec![0; usize::from(count)];
        with.fill(&mut kinds)?;
        if !kinds.contains(&SECURITY_NONE) {
            return Err(nonsense("it asks for a password"));
        }
        with.say(&[SECURITY_NONE])?;
        if with.bytes()? != [0, 0, 0, 0] {
            return Err(nonsense("it refuses the connection"));
        }
        // Beside other viewers.
        with.say(&[1])?;
        let size: [u8; 4] = with.bytes()?;
        with.width = u16::from_be_bytes([size[0], size[1]]);
        with.height = u16::from_be_bytes([size[2], size[3]]);
        let _format: [u8; 16] = with.bytes()?;
        with.text()
    }

    fn pixels(with: &mut Conversation<'_>) -> io::Result<Pixels> {
        let (width, height) = (u32::from(with.width), u32::from(with.height));
        let mut pixels = Pixels::new(width, height).map_err(io::Error::other)?;
        let mut ask = vec![0, 0, 0, 0];
        ask.extend(PIXEL_FORMAT);
        // SetEncodings: one, raw.
        ask.extend([2, 0, 0, 1]);
        ask.extend(RAW.to_be_bytes());
        // FramebufferUpdateRequest: all of it, not what has changed.
        ask.extend([3, 0, 0, 0, 0, 0]);
        ask.extend(with.width.to_be_bytes());
        ask.extend(with.height.to_be_bytes());
        with.say(&ask)?;
        let mut missing = u64::from(width) * u64::from(height);
        for _ in 0..MAX_MESSAGES {
            match with.bytes()? {
                [0u8] => {
                    let head: [u8; 3] = with.bytes()?;
                    for _ in 0..u16::from_be_bytes([head[1], head[2]]) {
                        missing = missing.saturating_sub(with.rectangle(&mut pixels)?);
                    }
                    if missing == 0 {
                        return Ok(pixels);
                    }
                }
                // Bell.
                [2] => {}
                // Somebody has copied something.
                [3] => {
                    let _padding: [u8; 3] = with.bytes()?;
                    with.text()?;
                }
                [kind] => return Err(nonsense(&format!("it sends a message of kind {kind}"))),
            }
        }
        Err(nonsense("it sends everything but a picture"))
    }
}

/// A server and until when it may answer.
struct Conversation<'a> {
    server: &'a UnixStream,
    until: Instant,
    width: u16,
    height: u16,
}

impl Conversation<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        // A socket's own limit of 0 would be none.
        if left.is_zero() { Err(too_late()) } else { Ok(left) }
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            self.server.set_read_timeout(Some(self.left()?))?;
            match self.server.read(buffer) {
                Ok(0) => return Err(nonsense("it has closed the connection")),
                Ok(count) => buffer = &mut buffer[count..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(too_late()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.server.set_write_timeout(Some(self.left()?))?;
        self.server.write_all(bytes).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => too_late(),
            _ => e,
        })
    }

    /// Reads a text with its length before it, and forgets it.
    fn text(&mut self) -> io::Result<()> {
        let length = u32::from_be_bytes(self.bytes()?);
        if length > MAX_TEXT {
            return Err(nonsense("it sends a text without end"));
        }
        self.fill(&mut vec![0; length as usize])
    }

    /// One rectangle of an update; tells how many pixels it has.
    fn rectangle(&mut self, pixels: &mut Pixels) -> io::Result<u64> {
        let head: [u8; 12] = self.bytes()?;
        let number = |at: usize| u32::from(u16::from_be_bytes([head[at], head[at + 1]]));
        let (x, y, width, height) = (number(0), number(2), number(4), number(6));
        if i32::from_be_bytes([head[8], head[9], head[10], head[11]]) != RAW {
            return Err(nonsense("it sends an encoding that nobody asked for"));
        }
        if x + width > pixels.width || y + height > pixels.height {
            return Err(nonsense("it sends pixels that are not on the screen"));
        }
        let mut line = vec![0; width as usize * 4];
        for y in y..y + height {
            self.fill(&mut line)?;
            let row = pixels.row(x, y, width).chunks_exact_mut(3);
            for (to, from) in row.zip(line.chunks_exact(4)) {
                to.copy_from_slice(&[from[2], from[1], from[0]]);
            }
        }
        Ok(u64::from(width) * u64::from(height))
    }
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("it does not answer within {} ms", LIMIT.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A server that says `greeting` and then `picture`, whatever it is told.
    fn served(greeting: Vec<u8>, picture: Vec<u8>) -> io::Result<Picture> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            theirs.write_all(&greeting).unwrap();
            theirs.write_all(&picture).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = io::copy(&mut theirs, &mut io::sink());
        });
        let picture = Screen::greet(ours).and_then(Screen::picture);
        server.join().unwrap();
        picture
    }

    fn greeting(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = b"RFB 003.008\n\x01\x01\0\0\0\0".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend(PIXEL_FORMAT);
        bytes.extend(b"\0\0\0\x04ward");
        bytes
    }

    fn rectangle(place: [u16; 4], encoding: i32) -> Vec<u8> {
        place.iter().flat_map(|n| n.to_be_bytes()).chain(encoding.to_be_bytes()).collect()
    }

    fn refusal(greeting: Vec<u8>, picture: Vec<u8>) -> String {
        served(greeting, picture).unwrap_err().to_string()
    }

    #[test]
    fn a_screen_in_pieces_becomes_one_picture() {
        // A bell and a clipboard come between.
        let mut update = b"\x02\x03\0\0\0\0\0\0\x03abc\0\0\0\x01".to_vec();
        update.extend(rectangle([0, 0, 1, 2], RAW));
        update.extend([3, 2, 1, 0, 6, 5, 4, 0]);
        update.extend([0, 0, 0, 1]);
        update.extend(rectangle([1, 0, 1, 2], RAW));
        update.extend([9, 8, 7, 0, 12, 11, 10, 0]);
        let picture = served(greeting(2, 2), update).unwrap();
        assert_eq!((picture.width, picture.height), (2, 2));
        assert_eq!(Pixels::of(&picture).unwrap().rgb, [1, 2, 3, 7, 8, 9, 4, 5, 6, 10, 11, 12]);
    }

    #[test]
    fn a_server_that_lies_is_not_believed() {
        let update = |place, encoding| [vec![0, 0, 0, 1], rectangle(place, encoding)].concat();
        assert!(refusal(b"SSH-2.0-xyz12".to_vec(), vec![]).contains("no RFB"));
        assert!(refusal(b"RFB 003.008\n\x01\x02".to_vec(), vec![]).contains("password"));
        assert!(refusal(greeting(0, 9), vec![]).contains("not possible"));
        assert!(refusal(greeting(65535, 65535), vec![]).contains("not possible"));
        assert!(refusal(greeting(4, 4), update([1, 0, 4, 4], RAW)).contains("not on the screen"));
        assert!(refusal(greeting(4, 4), update([0, 0, 4, 4], 7)).contains("nobody asked for"));
        assert!(refusal(greeting(4, 4), vec![9]).contains("kind 9"));
        assert!(refusal(greeting(4, 4), vec![2; 2000]).contains("everything but"));
        assert!(refusal(greeting(4, 4), b"\x03\0\0\0\xff\xff\xff\xff".to_vec()).contains("without end"));
        assert!(refusal(greeting(4, 4), vec![]).contains("closed"));
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let Err(error) = Screen::greet(ours) else { panic!("it was greeted") };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
