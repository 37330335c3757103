//! `run`: a program in a new capsule.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;
use torpor_capsule::{Capsule, Environment, Io, Program, Spec};

use crate::arguments::RunArguments;
use crate::failure::Failure;
use crate::state_folders;

/// Longest environment in bytes: what execve(2) takes with the usual stack limit of 8 MiB, a quarter of it.
const LONGEST_ENVIRONMENT: u64 = 2 << 20;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    capsule: String,
    init_pid: i32,
    root_pid: i32,
    notes: Vec<String>,
}

pub fn run(arguments: RunArguments) -> Result<Started, Failure> {
    let io = match arguments.display {
        Some(size) => Io::Display(size),
        None if arguments.tty => Io::Terminal(arguments.size),
        None => Io::Log,
    };
    let mut env = Environment::default();
    if let Some(file) = &arguments.env_from {
        let bytes = read_environment(file)?;
        for entry in bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
            env.add(OsStr::from_bytes(entry))?;
        }
    }
    for entry in &arguments.env {
        env.add(entry)?;
    }
    // Who asks libuv for it means to use it.
    let asked = env.get("UV_USE_IO_URING").is_some_and(|value| value == "1");
    let program = Program {
        argv: arguments.command,
        env,
        cwd: arguments.cwd,
        user: arguments.user,
        allow_io_uring: arguments.allow_io_uring || asked,
    };
    let spec = Spec::new(arguments.capsule, state_folders::run(), io);
    let capsule = Capsule::create(&spec, &program)?;
    Ok(Started {
        capsule: capsule.record.id,
        init_pid: capsule.record.init_pid,
        root_pid: capsule.record.root_pid,
        notes: capsule.record.notes,
    })
}

fn read_environment(file: &Path) -> Result<Vec<u8>, Failure> {
    let what = format!("reading the environment from {}", file.display());
    let failed = |e: &io::Error| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => Failure::usage(format!("{what}: {e}")),
        _ => Failure::io(&what, e),
    };
    let mut source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(file).map_err(|e| failed(&e))?),
    };
    let mut bytes = Vec::new();
    source.by_ref().take(LONGEST_ENVIRONMENT + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if bytes.len() as u64 > LONGEST_ENVIRONMENT {
        return Err(Failure::usage(format!("{what}: it has more than {LONGEST_ENVIRONMENT} bytes")));
    }
    Ok(bytes)
}
