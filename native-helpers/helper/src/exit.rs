//! How the helper ends: the words of its errors, and the exit status that each of them means.

use std::fmt;
use std::process::{ExitCode, Termination};

use serde::{Deserialize, Serialize};

/// The helper's exit status. Other programs rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    Done = 0,
    Usage = 2,
    /// The tree has something that can't be captured.
    Blocked = 3,
    /// The image is damaged, foreign or from another kind of machine.
    BadImage = 4,
    NotFound = 5,
    /// No room, a PID taken, another resource missing, or cancelled.
    Resource = 6,
    NotPermitted = 7,
    Defect = 70,
}

impl Termination for ExitStatus {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// The `code` of an error line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    Usage,
    Blocked,
    Damaged,
    Foreign,
    Incompatible,
    ParentMissing,
    NoSuchProcess,
    NoSuchCapsule,
    NoRoom,
    PidTaken,
    Resource,
    /// The image has no picture of what its application showed.
    NoPicture,
    Cancelled,
    Busy,
    NotPermitted,
    Internal,
}

impl ErrorCode {
    pub const ALL: [ErrorCode; 16] = [
        ErrorCode::Usage,
        ErrorCode::Blocked,
        ErrorCode::Damaged,
        ErrorCode::Foreign,
        ErrorCode::Incompatible,
        ErrorCode::ParentMissing,
        ErrorCode::NoSuchProcess,
        ErrorCode::NoSuchCapsule,
        ErrorCode::NoRoom,
        ErrorCode::PidTaken,
        ErrorCode::Resource,
        ErrorCode::NoPicture,
        ErrorCode::Cancelled,
        ErrorCode::Busy,
        ErrorCode::NotPermitted,
        ErrorCode::Internal,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::Usage => "usage",
            ErrorCode::Blocked => "blocked",
            ErrorCode::Damaged => "damaged",
            ErrorCode::Foreign => "foreign",
            ErrorCode::Incompatible => "incompatible",
            ErrorCode::ParentMissing => "parent-missing",
            ErrorCode::NoSuchProcess => "no-such-process",
            ErrorCode::NoSuchCapsule => "no-such-capsule",
            ErrorCode::NoRoom => "no-room",
            ErrorCode::PidTaken => "pid-taken",
            ErrorCode::Resource => "resource",
            ErrorCode::NoPicture => "no-picture",
            ErrorCode::Cancelled => "cancelled",
            ErrorCode::Busy => "busy",
            ErrorCode::NotPermitted => "not-permitted",
            ErrorCode::Internal => "internal",
        }
    }

    /// The code of that name; a name that nobody knows is a defect of ours.
    pub fn from_word(word: &str) -> ErrorCode {
        ErrorCode::ALL.into_iter().find(|code| code.as_str() == word).unwrap_or(ErrorCode::Internal)
    }

    pub fn exit_status(self) -> ExitStatus {
        match self {
            ErrorCode::Usage => ExitStatus::Usage,
            ErrorCode::Blocked => ExitStatus::Blocked,
            ErrorCode::Damaged | ErrorCode::Foreign | ErrorCode::Incompatible | ErrorCode::ParentMissing => {
                ExitStatus::BadImage
            }
            ErrorCode::NoSuchProcess | ErrorCode::NoSuchCapsule => ExitStatus::NotFound,
            ErrorCode::NoRoom
            | ErrorCode::PidTaken
            | ErrorCode::Resource
            | ErrorCode::NoPicture
            | ErrorCode::Cancelled
            | ErrorCode::Busy => ExitStatus::Resource,
            ErrorCode::NotPermitted => ExitStatus::NotPermitted,
            ErrorCode::Internal => ExitStatus::Defect,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_contract() {
        let expected = [
            ("usage", 2),
            ("blocked", 3),
            ("damaged", 4),
            ("foreign", 4),
            ("incompatible", 4),
            ("parent-missing", 4),
            ("no-such-process", 5),
            ("no-such-capsule", 5),
            ("no-room", 6),
            ("pid-taken", 6),
            ("resource", 6),
            ("no-picture", 6),
            ("cancelled", 6),
            ("busy", 6),
            ("not-permitted", 7),
            ("internal", 70),
        ];
        let found = ErrorCode::ALL.map(|code| (code.as_str(), code.exit_status() as u8));
        assert_eq!(found, expected);
        assert_eq!(ExitStatus::Done as u8, 0);
    }

    #[test]
    fn a_code_reads_the_same_everywhere() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_word(code.as_str()), code);
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        assert_eq!(ErrorCode::from_word("something else"), ErrorCode::Internal);
    }

    #[test]
    fn the_capsules_codes_are_ours() {
        use torpor_capsule::ErrorCode as Capsule;
        for code in [
            Capsule::Usage,
            Capsule::NoSuchCapsule,
            Capsule::Busy,
            Capsule::Cancelled,
            Capsule::Resource,
            Capsule::NotPermitted,
            Capsule::Internal,
        ] {
            let ours = ErrorCode::from_word(code.as_str());
            assert_eq!((ours.as_str(), ours.exit_status() as i32), (code.as_str(), code.exit_status()));
        }
    }
}
