//! What the engine refuses, in its own words: read from its sources, where every blocker is made by one call,
//! `Obstacle::unsupported(code, message, remedy)`, so that none can be forgotten here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::checkout;

const CALL: &str = "Obstacle::unsupported(";

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocker {
    pub code: String,
    pub message: String,
    pub remedy: String,
}

/// All blockers, by code.
pub fn all() -> Vec<Blocker> {
    let mut found = BTreeSet::new();
    read_folder(&checkout().join("native-helpers/engine/src"), &mut found);
    assert!(found.len() > 20, "the engine's blockers were not found: {found:?}");
    found.into_iter().collect()
}

fn read_folder(folder: &Path, found: &mut BTreeSet<Blocker>) {
    for entry in fs::read_dir(folder).expect("list the engine's sources") {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() {
            read_folder(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            read_source(&fs::read_to_string(&path).expect("read a source"), found);
        }
    }
}

fn read_source(source: &str, found: &mut BTreeSet<Blocker>) {
    // Tests make obstacles of their own.
    let source = source.split("#[cfg(test)]").next().unwrap_or(source);
    let mut rest = source;
    while let Some(at) = rest.find(CALL) {
        rest = &rest[at + CALL.len()..];
        let arguments = arguments(rest);
        let [code, message, remedy] = &arguments[..] else {
            panic!("a blocker with {} arguments: {arguments:?}", arguments.len());
        };
        let code = words(source, code);
        assert!(!code.is_empty(), "a blocker whose code is not spelled out: {arguments:?}");
        found.insert(Blocker { code, message: words(source, message), remedy: words(source, remedy) });
    }
}

/// The arguments of a call whose opening parenthesis has just been passed, as they are written.
fn arguments(source: &str) -> Vec<String> {
    let (mut all, mut one, mut depth) = (Vec::new(), String::new(), 0);
    let mut characters = source.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                one.push(c);
                while let Some(c) = characters.next() {
                    one.push(c);
                    match c {
                        '\\' => one.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                continue;
            }
            ')' if depth == 0 => break,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(std::mem::take(&mut one).trim().to_owned());
                continue;
            }
            _ => {}
        }
        one.push(c);
    }
    if !one.trim().is_empty() {
        all.push(one.trim().to_owned());
    }
    all
}

/// The text of an argument: a literal, a constant, or a format whose values stand there by their names.
fn words(source: &str, argument: &str) -> String {
    if let Some(literal) = literal(argument) {
        return literal.replace('{', "‹").replace('}', "›").replace(":x›", "›").replace('|', "\\|");
    }
    let constant = format!("const {argument}: &str = ");
    match source.find(&constant).and_then(|at| literal(&source[at + constant.len()..])) {
        Some(literal) => literal,
        // Several, each by its kind.
        None => "as it says".to_owned(),
    }
}

/// The first string literal, with its line continuations joined.
fn literal(text: &str) -> Option<String> {
    let start = text.strip_prefix("format!(").unwrap_or(text).trim_start();
    let mut characters = start.strip_prefix('"')?.chars().peekable();
    let mut literal = String::new();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Some(literal),
            '\\' => match characters.next()? {
                '\n' => while characters.next_if(|c| c.is_whitespace()).is_some() {},
                escaped => literal.push(escaped),
            },
            c => literal.push(c),
        }
    }
    None
}

#[test]
fn a_call_is_read_as_it_is_written() {
    let source = "const CLOSE: &str = \"close it\";\n\
                  Obstacle::unsupported(\n \"a-code\",\n format!(\"{name} (so, so) \\\n   is open\"),\n CLOSE,\n)";
    let mut found = BTreeSet::new();
    read_source(source, &mut found);
    let wanted = Blocker {
        code: "a-code".into(),
        message: "‹name› (so, so) is open".into(),
        remedy: "close it".into(),
    };
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [wanted]);
}
