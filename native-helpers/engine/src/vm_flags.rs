//! The flags of a mapping as /proc/PID/smaps spells them (proc(5), "VmFlags"): two letters each.
//!
//! A program can have tens of thousands of mappings with a dozen flags each, so they are kept without a string for
//! every one. In an image they are the texts that they always were.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// What a hostile image may have of them; the kernel has a few dozen.
const MOST: usize = 64;

/// Codes of two letters, in the kernel's order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct VmFlags(Box<[[u8; 2]]>);

impl VmFlags {
    /// Of the words of a line; what is no code of two letters is none.
    #[must_use]
    pub fn parse(words: &str) -> VmFlags {
        words.split_ascii_whitespace().filter_map(code).collect()
    }

    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        code(flag).is_some_and(|flag| self.0.contains(&flag))
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|flag| str::from_utf8(flag).unwrap_or("??"))
    }

    /// These without one of them.
    #[must_use]
    pub fn without(&self, flag: &str) -> VmFlags {
        self.0.iter().copied().filter(|one| Some(*one) != code(flag)).collect()
    }

    /// These, and what `more` has besides.
    #[must_use]
    pub fn with(&self, more: &VmFlags) -> VmFlags {
        let new = more.0.iter().filter(|flag| !self.0.contains(flag));
        self.0.iter().chain(new).copied().collect()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn code(word: &str) -> Option<[u8; 2]> {
    word.as_bytes().try_into().ok().filter(|code: &[u8; 2]| code.is_ascii())
}

impl FromIterator<[u8; 2]> for VmFlags {
    fn from_iter<I: IntoIterator<Item = [u8; 2]>>(codes: I) -> VmFlags {
        VmFlags(codes.into_iter().collect())
    }
}

impl<'a> FromIterator<&'a str> for VmFlags {
    fn from_iter<I: IntoIterator<Item = &'a str>>(words: I) -> VmFlags {
        words.into_iter().filter_map(code).collect()
    }
}

impl fmt::Debug for VmFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for VmFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|flag| str::from_utf8(flag).unwrap_or("??")))
    }
}

impl<'de> Deserialize<'de> for VmFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<VmFlags, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = VmFlags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("codes of two letters")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<VmFlags, A::Error> {
                let mut codes = Vec::new();
                while let Some(word) = words.next_element::<String>()? {
                    let code =
                        code(&word).ok_or_else(|| A::Error::custom("a flag that is no two letters"))?;
                    if codes.len() == MOST {
                        return Err(A::Error::custom("more flags than a mapping can have"));
                    }
                    codes.push(code);
                }
                Ok(codes.into_iter().collect())
            }
        }
        deserializer.deserialize_seq(Words)
    }
}

#[cfg(test)]
mod tests {
    use torpor_image::cbor;

    use super::*;

    #[test]
    fn an_image_has_them_as_texts() {
        let flags = VmFlags::parse(" rd wr mr me ac \n");
        let bytes = cbor::to_vec(&flags).unwrap();
        assert_eq!(bytes, cbor::to_vec(&vec!["rd", "wr", "mr", "me", "ac"]).unwrap());
        assert_eq!(cbor::from_slice::<VmFlags>(&bytes).unwrap(), flags);
        for bad in [vec!["long"], vec!["ä"], vec!["rd"; MOST + 1]] {
            assert!(cbor::from_slice::<VmFlags>(&cbor::to_vec(&bad).unwrap()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sets_of_them() {
        let flags = VmFlags::parse("rd wr uw");
        assert!(flags.has("wr") && !flags.has("w") && !flags.has("lo"));
        let locked = flags.without("uw").with(&VmFlags::parse("wr lo"));
        assert_eq!(locked.iter().collect::<Vec<_>>(), ["rd", "wr", "lo"]);
    }
}
