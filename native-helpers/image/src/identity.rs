//! The two names of an image: a random id given at capture, and the hash of what it holds.

use std::fmt;
use std::str::FromStr;

/// Random 128-bit id of an image, chosen by the caller; prints and parses as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(pub [u8; 16]);

/// BLAKE3 over the header, which holds the hashes of system state and page index; the latter holds
/// the checksum of every block. Two images with the same content hash are the same file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

/// Text that is not the hex form of an id or hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {digits} hexadecimal digits")]
pub struct ParseHexError {
    text: String,
    digits: usize,
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseHexError> {
    // Long garbage isn't repeated in full in a message.
    let fail = || ParseHexError { text: text.chars().take(80).collect(), digits: N * 2 };
    if text.len() != N * 2 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(fail());
    }
    let mut out = [0; N];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| fail())?;
    }
    Ok(out)
}

macro_rules! hex_name {
    ($name:ident, $len:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
        impl FromStr for $name {
            type Err = ParseHexError;
            fn from_str(text: &str) -> Result<Self, ParseHexError> {
                parse_hex::<$len>(text).map(Self)
            }
        }
    };
}

hex_name!(ImageId, 16);
hex_name!(ContentHash, 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip() {
        let id = ImageId(*b"0123456789abcdef");
        assert_eq!(id.to_string(), "30313233343536373839616263646566");
        assert_eq!(id.to_string().parse::<ImageId>(), Ok(id));
        for wrong in ["", "30", "3031323334353637383961626364656g", "é0313233343536373839616263646566"] {
            assert!(wrong.parse::<ImageId>().is_err(), "{wrong}");
        }
    }
}
