//! Typed values to CBOR (RFC 8949) and back, with bounds: the system state is read as hostile input.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::MAX_STATE_LEN;

/// Arrays, maps and tags inside each other at most: bounds the decoder's use of the stack.
pub const MAX_DEPTH: usize = 64;

/// Why a value can't be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    #[error("the value takes {len} bytes, more than {MAX_STATE_LEN}")]
    TooLarge { len: u64 },
    #[error("the value can't be written as CBOR: {0}")]
    Encode(String),
    #[error("the bytes are not what is expected here: {0}")]
    Decode(String),
    #[error("{count} bytes are left over behind the value")]
    TrailingBytes { count: usize },
}

/// Encodes `value`.
///
/// # Errors
/// If it passes [`MAX_STATE_LEN`] bytes or refuses to be serialized.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CborError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|error| CborError::Encode(error.to_string()))?;
    if bytes.len() as u64 > MAX_STATE_LEN {
        return Err(CborError::TooLarge { len: bytes.len() as u64 });
    }
    Ok(bytes)
}

/// Decodes one value that takes all of `bytes`. Lengths that the input claims are not believed: memory
/// grows with what is really there.
///
/// # Errors
/// If `bytes` is too long, nested deeper than [`MAX_DEPTH`], not a `T`, or longer than one value.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CborError> {
    if bytes.len() as u64 > MAX_STATE_LEN {
        return Err(CborError::TooLarge { len: bytes.len() as u64 });
    }
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH)
        .map_err(|error| CborError::Decode(error.to_string()))?;
    if !rest.is_empty() {
        return Err(CborError::TrailingBytes { count: rest.len() });
    }
    Ok(value)
}
