//! `check`: what this kernel and machine can do, and what is missing for what. Everything is really tried.

mod kernel;
mod machine;
mod rights;

use serde::Serialize;

use crate::failure::Failure;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    kernel: String,
    arch: &'static str,
    /// Whether everything that is needed is there; what only adds speed or comfort does not count.
    ok: bool,
    features: Vec<Feature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Feature {
    name: &'static str,
    ok: bool,
    /// Without it Torpor can't capture and restore at all.
    required: bool,
    needed_for: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Only where something is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

impl Feature {
    fn new(name: &'static str, needed_for: &'static str) -> Feature {
        Feature { name, ok: true, required: false, needed_for, detail: None, remedy: None }
    }

    fn required(self) -> Feature {
        Feature { required: true, ..self }
    }

    fn detail(self, detail: impl Into<String>) -> Feature {
        Feature { detail: Some(detail.into()), ..self }
    }

    /// Takes over the outcome of a try.
    fn tried<T>(self, outcome: &std::io::Result<T>, remedy: &'static str) -> Feature {
        match outcome {
            Ok(_) => self,
            Err(error) => Feature { ok: false, remedy: Some(remedy), ..self }.detail(error.to_string()),
        }
    }

    /// Missing unless `ok`.
    fn given(self, ok: bool, remedy: &'static str) -> Feature {
        if ok { self } else { Feature { ok: false, remedy: Some(remedy), ..self } }
    }
}

pub fn run() -> Result<Report, Failure> {
    let mut features = kernel::features();
    features.extend(rights::features());
    features.extend(machine::features());
    Ok(Report {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        arch: std::env::consts::ARCH,
        ok: features.iter().all(|f| f.ok || !f.required),
        features,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_a_remedy_and_names_are_unique() {
        let report = run().unwrap();
        let mut names: Vec<_> = report.features.iter().map(|f| f.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for feature in &report.features {
            assert!(feature.ok || feature.remedy.is_some(), "{feature:?}");
            assert!(!feature.needed_for.is_empty());
        }
    }

    #[test]
    fn only_what_is_required_counts() {
        let missing = std::io::Result::<()>::Err(std::io::ErrorKind::Unsupported.into());
        let feature = Feature::new("x", "y").tried(&missing, "z");
        assert!(!feature.ok && !feature.required);
        assert_eq!(feature.remedy, Some("z"));
        assert!(Feature::new("x", "y").required().given(true, "z").ok);
    }
}
