//! torpor-helper: captures and restores process trees. One call does one thing and exits.
//!
//! Arguments in, JSON lines out (docs/protocol.md); the exit statuses are in [`exit`].

mod arguments;
mod commands;
mod exit;
mod failure;
mod inside;
mod output;
mod picture;
mod pid_view;
mod session;
mod state_folders;
mod timestamp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::arguments::{Arguments, Parsed};
use crate::exit::{ErrorCode, ExitStatus};
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

fn main() -> ExitStatus {
    log_to_stderr();
    let mut output = Output::new(std::io::stdout());
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(Parsed::Command(arguments)) => arguments,
        Ok(Parsed::Text(text)) => return print(&text),
        Err(failure) => return fail(&mut output, &failure),
    };
    let stop = match torpor_sys::signal::stop_request() {
        Ok(stop) => stop,
        Err(error) => return fail(&mut output, &Failure::io("preparing for signals", &error)),
    };
    let mut session = Session::new(output, stop, arguments.trace);
    let outcome = catch_unwind(AssertUnwindSafe(|| commands::run(arguments.command, &mut session)));
    match outcome {
        Ok(Ok(())) => ExitStatus::Done,
        Ok(Err(failure)) => fail(&mut session.output, &failure),
        // What happened is on standard error already.
        Err(_) => fail(
            &mut session.output,
            &Failure::new(
                ErrorCode::Internal,
                "a defect of torpor-helper; its log on standard error says where",
            ),
        ),
    }
}

fn fail<W: std::io::Write>(output: &mut Output<W>, failure: &Failure) -> ExitStatus {
    output.error(failure);
    failure.code.exit_status()
}

/// Help and version are for people: plain text.
fn print(text: &str) -> ExitStatus {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitStatus::Done
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_env_var("TORPOR_LOG")
        .with_default_directive(tracing::level_filters::LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
