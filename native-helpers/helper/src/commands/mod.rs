//! One file per subcommand.

mod capture;
mod check;
mod flatten;
mod inspect;
mod opened_image;
mod paging;
mod pidfile;
mod restore;
mod run;
mod show;
mod verify;

use crate::arguments::Command;
use crate::failure::Failure;
use crate::session::Session;

/// Runs a command and tells its result.
///
/// # Errors
/// Why it could not be done; the error is told by the caller.
pub fn run(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Check => {
            session.output.result("check", &check::run()?);
        }
        Command::Inspect(target) => {
            let found = inspect::run(&target, session)?;
            session.output.result("inspect", &found);
        }
        Command::Run(arguments) => {
            let started = run::run(arguments)?;
            session.output.result("run", &started);
        }
        Command::Capture(arguments) => {
            let report = capture::run(arguments, session)?;
            session.output.result("capture", &report);
        }
        Command::Restore(arguments) => {
            let report = restore::run(&arguments, session)?;
            session.output.result("restore", &report);
        }
        Command::Verify(arguments) => {
            let report = verify::run(&arguments.image, session)?;
            session.output.result("verify", &report);
        }
        Command::Flatten(arguments) => {
            let report = flatten::run(&arguments, session)?;
            session.output.result("flatten", &report);
        }
        Command::Show(arguments) => {
            let shown = show::run(&arguments)?;
            session.output.result("show", &shown);
        }
    }
    Ok(())
}
