//! Typed values to CBOR (RFC 8949) and back, with bounds: the system state is read as hostile input.
//!
//! A few bytes of CBOR can become a much larger structure (an empty map of one byte, a structure of
//! hundreds), and nesting costs stack. So the bytes are walked once, without memory, before they are
//! decoded: well-formed, not too deep, not too many arrays and maps.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::MAX_STATE_LEN;

/// Arrays, maps and tags inside each other at most: bounds the decoder's use of the stack.
pub const MAX_DEPTH: usize = 64;

/// Arrays and maps in one value at most: each may become a structure of some hundred bytes. A tree of
/// 1,000 processes with 300 mappings and 50 descriptors each has about 350,000.
pub const MAX_CONTAINERS: usize = 500_000;

/// Why a value can't be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    #[error("the value takes {len} bytes, more than the {MAX_STATE_LEN} that an image holds")]
    TooLarge { len: u64 },
    #[error("the value has more than {MAX_CONTAINERS} lists and maps")]
    TooManyContainers,
    #[error("the value is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    #[error("the bytes are not well-formed CBOR at offset {offset}")]
    Malformed { offset: usize },
    #[error("{count} bytes are left over behind the value")]
    TrailingBytes { count: usize },
    #[error("the value can't be written as CBOR: {0}")]
    Encode(String),
    #[error("the bytes are not what is expected here: {0}")]
    Decode(String),
}

/// Encodes `value`. What it returns, [`from_slice`] accepts.
///
/// # Errors
/// If the value passes one of the limits or refuses to be serialized.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CborError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|error| CborError::Encode(error.to_string()))?;
    check(&bytes)?;
    Ok(bytes)
}

/// Decodes one value that takes all of `bytes`. Lengths that the input claims are not believed: memory
/// grows with what is really there.
///
/// # Errors
/// If `bytes` passes one of the limits, is malformed, not a `T`, or longer than one value.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CborError> {
    check(bytes)?;
    // The decoder counts levels differently (a tag and its value are two), so it gets twice as many.
    ciborium::de::from_reader_with_recursion_limit(bytes, 2 * MAX_DEPTH)
        .map_err(|error| CborError::Decode(error.to_string()))
}

/// Checks that `bytes` is one well-formed value within the limits.
fn check(bytes: &[u8]) -> Result<(), CborError> {
    if bytes.len() as u64 > MAX_STATE_LEN {
        return Err(CborError::TooLarge { len: bytes.len() as u64 });
    }
    let mut walk = Walk { bytes, at: 0, containers: 0 };
    walk.value()?;
    match bytes.len() - walk.at {
        0 => Ok(()),
        count => Err(CborError::TrailingBytes { count }),
    }
}

/// What is still to come of an open array, map, tag or string.
#[derive(Clone, Copy)]
enum Open {
    /// So many values.
    Values(u64),
    /// Values up to a break; `pairs` where an even number must have come, `odd` whether it is not.
    Until { pairs: bool, odd: bool },
    /// Pieces of definite length, of this major type, up to a break.
    Pieces(u8),
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    containers: usize,
}

impl Walk<'_> {
    /// Walks one value with a stack of its own of fixed size.
    fn value(&mut self) -> Result<(), CborError> {
        let mut stack = [Open::Values(0); MAX_DEPTH];
        let mut depth = 0usize;
        loop {
            let start = self.at;
            let malformed = CborError::Malformed { offset: start };
            let (major, info) = self.head().ok_or(malformed.clone())?;
            let top = depth.checked_sub(1).map(|top| stack[top]);
            let mut opened = None;
            if (major, info) == (7, None) {
                // A break: closes what may be closed here.
                match top {
                    Some(Open::Until { pairs: true, odd: true } | Open::Values(_)) | None => {
                        return Err(malformed);
                    }
                    Some(_) => depth -= 1,
                }
            } else {
                if let Some(Open::Pieces(kind)) = top
                    && (major != kind || info.is_none())
                {
                    return Err(malformed);
                }
                opened = self.open(major, info).ok_or(malformed)?;
            }
            if let Some(open) = opened {
                self.containers += usize::from(matches!(major, 4 | 5));
                if self.containers > MAX_CONTAINERS {
                    return Err(CborError::TooManyContainers);
                }
                *stack.get_mut(depth).ok_or(CborError::TooDeep)? = open;
                depth += 1;
                if !matches!(open, Open::Values(0)) {
                    continue;
                }
            }
            // A value is complete: so may be those around it.
            if opened.is_some() {
                depth -= 1;
            }
            loop {
                let Some(top) = depth.checked_sub(1).map(|top| &mut stack[top]) else { return Ok(()) };
                match top {
                    Open::Values(left) if *left > 1 => *left -= 1,
                    Open::Values(_) => {
                        depth -= 1;
                        continue;
                    }
                    Open::Until { odd, .. } => *odd = !*odd,
                    Open::Pieces(_) => {}
                }
                break;
            }
        }
    }

    /// Steps over what belongs to a head; says what it opens, if anything. None: malformed.
    fn open(&mut self, major: u8, info: Option<u64>) -> Option<Option<Open>> {
        Some(match (major, info) {
            (0 | 1, Some(_)) | (7, Some(_)) => None,
            (2 | 3, Some(len)) => {
                self.at = self.at.checked_add(usize::try_from(len).ok()?)?;
                (self.at <= self.bytes.len()).then_some(None)?
            }
            (2 | 3, None) => Some(Open::Pieces(major)),
            (4, Some(count)) => Some(Open::Values(count)),
            (5, Some(count)) => Some(Open::Values(count.checked_mul(2)?)),
            (4 | 5, None) => Some(Open::Until { pairs: major == 5, odd: false }),
            (6, Some(_)) => Some(Open::Values(1)),
            _ => return None,
        })
    }

    /// The head of a value: its major type, and its argument (none: indefinite length or a break).
    fn head(&mut self) -> Option<(u8, Option<u64>)> {
        let first = *self.bytes.get(self.at)?;
        self.at += 1;
        let (major, info) = (first >> 5, first & 31);
        let size = match info {
            0..=23 => return Some((major, Some(u64::from(info)))),
            24..=27 => 1 << (info - 24),
            31 => return Some((major, None)),
            _ => return None,
        };
        let bytes = self.bytes.get(self.at..self.at + size)?;
        self.at += size;
        Some((major, Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciborium::Value;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
    }

    #[test]
    fn accepts_well_formed_values() {
        // Integers, strings, nested, tagged, indefinite lengths, empty containers, floats.
        for text in [
            "00",
            "3863",
            "60",
            "4161",
            "80",
            "a0",
            "820102",
            "a1616101",
            "c11a514b67b0",
            "9f01ff",
            "9fff",
            "bf616101ff",
            "5f41614162ff",
            "7f6161ff",
            "f6",
            "f93c00",
            "fb3ff199999999999a",
            "83a08080",
            "9f9fffbfffff",
            "d9d9f780",
            "a18001",
        ] {
            assert_eq!(check(&hex(text)), Ok(()), "{text}");
        }
    }

    #[test]
    fn refuses_malformed_values() {
        for text in [
            "",
            "18",
            "62",
            "6161ff",
            "82",
            "8201",
            "a161",
            "ff",
            "9f",
            "bf6161ff",
            "5f6161ff",
            "5f5f41ffff",
            "1c",
            "1f",
            "df",
            "c1",
            "c1ff",
            "82ff",
            "5bffffffffffffffff",
            "9bffffffffffffffff",
            "bbffffffffffffffff",
            "0000",
        ] {
            assert!(check(&hex(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(check(&nested(MAX_DEPTH + 1)), Err(CborError::TooDeep));
        assert_eq!(from_slice::<Value>(&nested(1_000_000)), Err(CborError::TooDeep));
        let deepest = [vec![0xc1; MAX_DEPTH], vec![0]].concat();
        assert!(from_slice::<Value>(&deepest).is_ok());
    }

    #[test]
    fn containers_are_bounded() {
        // One byte each, and a structure each when decoded.
        let many =
            |count: u32| [vec![0x9a], count.to_be_bytes().to_vec(), vec![0xa0; count as usize]].concat();
        assert_eq!(check(&many(MAX_CONTAINERS as u32 - 1)), Ok(()));
        assert_eq!(check(&many(MAX_CONTAINERS as u32)), Err(CborError::TooManyContainers));
        let value: Vec<Vec<u8>> = vec![vec![]; MAX_CONTAINERS];
        assert_eq!(to_vec(&value), Err(CborError::TooManyContainers));
    }

    #[test]
    fn claimed_lengths_are_not_believed() {
        assert!(from_slice::<Vec<u64>>(&hex("9b0000000fffffffff01")).is_err());
        assert!(from_slice::<String>(&hex("7b0000000fffffffff61")).is_err());
    }

    #[test]
    fn wrong_types_are_refused_with_a_reason() {
        let error = from_slice::<Vec<u64>>(&to_vec("text").unwrap()).unwrap_err();
        assert!(matches!(error, CborError::Decode(_)), "{error}");
        assert_eq!(from_slice::<u8>(&[0, 0, 0]), Err(CborError::TrailingBytes { count: 2 }));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
            ".{0,9}".prop_map(Value::from),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Value::Map),
                (100..900u64, inner).prop_map(|(tag, value)| Value::Tag(tag, Box::new(value))),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in values()) {
            let bytes = to_vec(&value).unwrap();
            prop_assert_eq!(from_slice::<Value>(&bytes).unwrap(), value);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // What the walk refuses, the decoder never sees; what it accepts must not panic.
            let _ = from_slice::<Value>(&bytes);
        }

        #[test]
        fn damaged_values_are_survived(value in values(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut bytes = to_vec(&value).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = from_slice::<Value>(&bytes);
        }
    }
}
