//! `run`: a program in a new capsule.

use serde::Serialize;
use torpor_capsule::{Capsule, Environment, Io, Program, Spec};

use crate::arguments::RunArguments;
use crate::failure::Failure;
use crate::state_folders;

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
    for entry in &arguments.env {
        env.add(entry)?;
    }
    let program = Program { argv: arguments.command, env, cwd: arguments.cwd, user: arguments.user };
    let spec = Spec::new(arguments.capsule, state_folders::run(), io);
    let capsule = Capsule::create(&spec, &program)?;
    Ok(Started {
        capsule: capsule.record.id,
        init_pid: capsule.record.init_pid,
        root_pid: capsule.record.root_pid,
        notes: capsule.record.notes,
    })
}
