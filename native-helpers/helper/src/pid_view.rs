//! PIDs of a PID namespace, as the caller's numbers: what a worker inside finds is told in the caller's
//! terms.

use std::collections::HashMap;

use serde_json::Value;
use torpor_engine::proc::{status::Status, tree};

/// From the number inside to the caller's.
#[derive(Debug, Default)]
pub struct PidView(HashMap<i64, i64>);

impl PidView {
    /// The processes below (and with) `init`, a process of the inner namespace, by its caller's number.
    pub fn below(init: i32) -> PidView {
        let level = Status::of(init).map_or(0, |status| status.ns_pids.len());
        let pids = tree::descendants(init).unwrap_or_default();
        let pairs = pids.into_iter().filter_map(|outer| {
            let inner = *Status::of(outer).ok()?.ns_pids.get(level.checked_sub(1)?)?;
            Some((i64::from(inner), i64::from(outer)))
        });
        PidView(pairs.collect())
    }

    /// Replaces the number under `key`, where it is one of the namespace.
    pub fn translate(&self, object: &mut Value, key: &str) {
        if let Some(field) = object.get_mut(key)
            && let Some(outer) = field.as_i64().and_then(|inner| self.0.get(&inner))
        {
            *field = (*outer).into();
        }
    }

    /// The same for each object of a list under `list`.
    pub fn translate_all(&self, object: &mut Value, list: &str, keys: &[&str]) {
        let items = object.get_mut(list).and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            for key in keys {
                self.translate(item, key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_are_translated_and_others_stay() {
        let view = PidView(HashMap::from([(2, 4711)]));
        let mut value = serde_json::json!({"rootPid": 2, "blockers": [{"pid": 2}, {"pid": 9}]});
        view.translate(&mut value, "rootPid");
        view.translate_all(&mut value, "blockers", &["pid"]);
        assert_eq!(value, serde_json::json!({"rootPid": 4711, "blockers": [{"pid": 4711}, {"pid": 9}]}));
    }
}
