//! Decodes any bytes as CBOR: refused or decoded, and what was decoded can be encoded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use torpor_image::cbor;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = cbor::from_slice::<ciborium::Value>(bytes) {
        cbor::to_vec(&value).expect("was decoded within the limits");
    }
});
