//! `inspect`: a living tree, without stopping it.

use serde_json::Value;
use torpor_engine::inspect::{Depth, inspect};

use crate::arguments::TargetArguments;
use crate::exit::ErrorCode;
use crate::failure::Failure;
use crate::inside::Place;
use crate::session::Session;

pub fn run(arguments: &TargetArguments, session: &mut Session) -> Result<Value, Failure> {
    match Place::find(arguments)? {
        Place::Here(target) => serde_json::to_value(inspect(target, Depth::Full)?)
            .map_err(|e| Failure::new(ErrorCode::Internal, format!("the result can't be told: {e}"))),
        Place::Inside(inside) => {
            let mut found =
                inside.run(session, &mut |_| {}, |worker| Ok(inspect(worker.target, Depth::Full)?))?;
            let pids = inside.pids();
            pids.translate(&mut found, "rootPid");
            pids.translate_all(&mut found, "processes", &["pid", "ppid"]);
            pids.translate_all(&mut found, "blockers", &["pid"]);
            pids.translate_all(&mut found, "warnings", &["pid"]);
            Ok(found)
        }
    }
}
