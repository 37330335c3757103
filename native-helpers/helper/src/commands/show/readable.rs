//! Any part of the system state as JSON that people can read: names in camel case, addresses and masks in
//! hexadecimal (they don't fit the numbers of JavaScript), bytes as length and hash.

use ciborium::Value as Cbor;
use serde_json::{Map, Value, json};

/// What to do with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blobs {
    Summarised,
    InFull,
}

/// Fields that are addresses, masks or raw words.
const HEXADECIMAL: &[&str] = &[
    "start",
    "end",
    "start_code",
    "end_code",
    "start_data",
    "end_data",
    "start_brk",
    "brk",
    "start_stack",
    "arg_start",
    "arg_end",
    "env_start",
    "env_end",
    "auxv",
    "regs",
    "signal_mask",
    "mask",
    "handler",
    "restorer",
    "clear_child_tid",
    "robust_list",
    "rseq",
    "alt_stack",
    "cap_inheritable",
    "cap_permitted",
    "cap_effective",
    "cap_bounding",
    "cap_ambient",
    "data",
    "value",
    "personality",
    "coredump_filter",
];

/// Maps with words of somebody else as keys, which stay as they are.
const FOREIGN_KEYS: &[&str] = &["meta", "namespaces"];

/// Field by field.
pub fn readable(value: Cbor, blobs: Blobs) -> Value {
    convert(value, blobs, "", false)
}

fn convert(value: Cbor, blobs: Blobs, name: &str, hexadecimal: bool) -> Value {
    match value {
        Cbor::Null => Value::Null,
        Cbor::Bool(b) => b.into(),
        Cbor::Text(text) => text.into(),
        Cbor::Float(number) => number.into(),
        Cbor::Integer(number) => integer(i128::from(number), name, hexadecimal),
        Cbor::Bytes(bytes) => blob(&bytes, blobs),
        Cbor::Array(items) => items.into_iter().map(|item| convert(item, blobs, name, hexadecimal)).collect(),
        Cbor::Map(pairs) => {
            let foreign = FOREIGN_KEYS.contains(&name);
            let fields = pairs.into_iter().map(|(key, value)| {
                let key = match key {
                    Cbor::Text(text) => text,
                    other => format!("{other:?}"),
                };
                let hexadecimal = hexadecimal || HEXADECIMAL.contains(&key.as_str());
                let shown = if foreign { key.clone() } else { camel_case(&key) };
                (shown, convert(value, blobs, &key, hexadecimal))
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Cbor::Tag(_, value) => convert(*value, blobs, name, hexadecimal),
        other => format!("{other:?}").into(),
    }
}

fn integer(number: i128, name: &str, hexadecimal: bool) -> Value {
    match (u64::try_from(number), i64::try_from(number)) {
        (Ok(u64::MAX), _) if name == "limits" => "unlimited".into(),
        (Ok(number), _) if hexadecimal => format!("{number:#x}").into(),
        (_, Ok(number)) => number.into(),
        (Ok(number), _) => number.into(),
        _ => number.to_string().into(),
    }
}

fn blob(bytes: &[u8], blobs: Blobs) -> Value {
    // Short ones say more by themselves.
    const SHORT: usize = 32;
    let hex = || bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    match blobs {
        Blobs::Summarised if bytes.len() > SHORT => {
            json!({ "bytes": bytes.len(), "blake3": blake3::hash(bytes).to_hex().as_str() })
        }
        _ => json!({ "bytes": bytes.len(), "hex": hex() }),
    }
}

/// `start_code` → `startCode`, `SharedMemory` → `sharedMemory`.
fn camel_case(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else if upper {
            shown.extend(c.to_uppercase());
            upper = false;
        } else if shown.is_empty() {
            shown.extend(c.to_lowercase());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use torpor_image::cbor;

    #[derive(serde::Serialize)]
    struct Sample {
        signal_mask: u64,
        limits: Vec<(u64, u64)>,
        #[serde(with = "serde_bytes")]
        xstate: Vec<u8>,
        meta: std::collections::BTreeMap<String, String>,
        sched: (i32, i64),
    }

    #[test]
    fn every_kind_of_field_is_readable() {
        let sample = Sample {
            signal_mask: u64::MAX,
            limits: vec![(8192, u64::MAX)],
            xstate: vec![7; 100],
            meta: [("some_key".to_owned(), "v".to_owned())].into(),
            sched: (-1, -5),
        };
        let value = cbor::from_slice(&cbor::to_vec(&sample).unwrap()).unwrap();
        let hash = blake3::hash(&[7; 100]).to_hex();
        assert_eq!(
            readable(value, Blobs::Summarised),
            json!({
                "signalMask": "0xffffffffffffffff",
                "limits": [[8192, "unlimited"]],
                "xstate": { "bytes": 100, "blake3": hash.as_str() },
                "meta": { "some_key": "v" },
                "sched": [-1, -5],
            })
        );
    }

    #[test]
    fn bytes_are_printed_in_full_when_asked_for() {
        assert_eq!(blob(&[0xab; 40], Blobs::InFull)["hex"], "ab".repeat(40));
        assert_eq!(blob(&[1, 2], Blobs::Summarised)["hex"], "0102");
    }
}
