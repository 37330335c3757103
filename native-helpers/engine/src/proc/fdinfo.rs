//! /proc/PID/fdinfo/FD: position and flags of a descriptor, and the fields of special kinds.

use std::io;

use super::read;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FdInfo {
    pub position: u64,
    /// Status flags, O_CLOEXEC included when the descriptor has it.
    pub flags: i32,
    /// Every line as key and value, the first four included, in order.
    pub lines: Vec<(String, String)>,
}

impl FdInfo {
    pub fn of(pid: i32, fd: i32) -> io::Result<FdInfo> {
        Ok(parse(&read(pid, &format!("fdinfo/{fd}"))?))
    }

    pub fn field(&self, key: &str) -> Option<&str> {
        self.lines.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.field(key)?.parse().ok()
    }
}

fn parse(text: &str) -> FdInfo {
    let mut info = FdInfo::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            // inotify and fanotify lines: "inotify wd:1 ino:…"
            if let Some((key, value)) = line.split_once(' ') {
                info.lines.push((key.to_owned(), value.to_owned()));
            }
            continue;
        };
        let (key, value) = match key.split_once(' ') {
            Some((word, _)) if !line.starts_with(' ') && matches!(word, "inotify" | "fanotify") => {
                (word, line[word.len()..].trim())
            }
            _ => (key.trim(), value.trim()),
        };
        match key {
            "pos" => info.position = value.parse().unwrap_or(0),
            "flags" => info.flags = i32::from_str_radix(value, 8).unwrap_or(0),
            _ => {}
        }
        info.lines.push((key.to_owned(), value.to_owned()));
    }
    info
}

/// Splits `wd:1 ino:2c mask:800` into pairs.
pub fn pairs(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split_ascii_whitespace().filter_map(|w| w.split_once(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_lines_keep_their_fields() {
        let info =
            parse("pos:\t7\nflags:\t02004002\nmnt_id:\t15\ninotify wd:1 ino:2c sdev:fe00000 mask:100\n");
        assert_eq!((info.position, info.flags), (7, 0o2004002));
        let line = info.field("inotify").unwrap();
        assert_eq!(pairs(line).find(|p| p.0 == "ino"), Some(("ino", "2c")));
    }
}
