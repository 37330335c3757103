//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use torpor_capsule::{CapsuleId, DisplaySize, WindowSize};
use torpor_engine::restore::ChangedFiles;
use torpor_image::Compression;

use crate::failure::Failure;

/// Captures a running process tree into a boot image, and restores one from it.
#[derive(Debug, Parser)]
#[command(name = "torpor-helper", version, arg_required_else_help = false)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    /// Print on standard error how long each phase took
    #[arg(long, global = true)]
    pub trace: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// What this kernel and machine can do, and what is missing for what
    Check,
    /// A tree's processes, its three sizes, and what stands in the way of a capture
    Inspect(TargetArguments),
    /// Run a program in a new capsule
    Run(RunArguments),
    /// Write a boot image of a running tree
    Capture(CaptureArguments),
    /// Build a running tree from a boot image
    Restore(RestoreArguments),
    /// Read every block of a boot image, and of the images that it builds on
    Verify(ImageArguments),
    /// Write an image that builds on others anew, as one that builds on none
    Flatten(FlattenArguments),
    /// Print what a boot image holds
    Show(ShowArguments),
}

#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct TargetArguments {
    /// The root of a process tree
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub pid: Option<i32>,
    /// A running capsule
    #[arg(long, value_name = "ID", value_parser = capsule_id)]
    pub capsule: Option<CapsuleId>,
}

#[derive(Debug, Args)]
pub struct RunArguments {
    #[arg(long, value_name = "ID", value_parser = capsule_id)]
    pub capsule: CapsuleId,
    /// With a terminal
    #[arg(long, conflicts_with = "display")]
    pub tty: bool,
    /// The terminal's size
    #[arg(long, value_name = "COLUMNSxROWS", value_parser = window_size, requires = "tty", default_value = "80x24")]
    pub size: WindowSize,
    /// With a private display, from 64x64 to 7680x4320 pixels
    #[arg(long, value_name = "WxH")]
    pub display: Option<DisplaySize>,
    /// NAME or UID[:GID]
    #[arg(long)]
    pub user: Option<String>,
    /// The working folder
    #[arg(long, value_name = "FOLDER")]
    pub cwd: Option<PathBuf>,
    /// A variable of the environment
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<OsString>,
    /// More variables, each NAME=VALUE and ended by a zero byte, as `env -0` prints them; `-` is the standard input.
    /// Other users see a command line, and not what is in a file
    #[arg(long, value_name = "FILE")]
    pub env_from: Option<PathBuf>,
    /// Let the program use io_uring, whose rings can't be captured; otherwise io_uring_setup(2) fails (ENOSYS)
    #[arg(long)]
    pub allow_io_uring: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct CaptureArguments {
    #[command(flatten)]
    pub target: TargetArguments,
    /// Where the image is going to be; nothing is ever overwritten
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// End the tree once the image is durable
    #[arg(long)]
    pub stop: bool,
    /// An earlier image of the same tree
    #[arg(long, value_name = "IMAGE")]
    pub parent: Option<PathBuf>,
    /// From now on note which pages are written, so that the next capture with this image as its parent reads only
    /// those; with --parent that goes on by itself
    #[arg(long, conflicts_with = "stop")]
    pub track: bool,
    #[arg(long, value_name = "METHOD", value_enum, default_value_t = Compress::None)]
    pub compress: Compress,
    /// Write while the tree is stopped
    #[arg(long)]
    pub eager: bool,
    /// Read and write no more than this while the tree runs on, in MB (1,000,000 bytes) of its memory per second
    #[arg(long, value_name = "MB/S", value_parser = clap::value_parser!(u32).range(1..=100_000), conflicts_with_all = ["stop", "eager"])]
    pub rate: Option<u32>,
    /// A word to keep in the image; connections=keep|reset|refuse: what becomes of TCP connections out of the tree
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub meta: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub struct RestoreArguments {
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Read all memory before the tree runs
    #[arg(long)]
    pub eager: bool,
    /// What to do where open or mapped files have changed on disk since the image was taken, other than by growing.
    /// Programs and libraries that the tree runs from must be the same in any case
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = Changed::Warn)]
    pub changed_files: Changed,
    /// Write the root's PID there once the tree runs
    #[arg(long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct PlaceArguments {
    /// Into a new capsule
    #[arg(long, value_name = "ID", value_parser = capsule_id)]
    pub capsule: Option<CapsuleId>,
    /// Into the caller's namespaces, with the very PIDs that the tree had
    #[arg(long)]
    pub in_place: bool,
}

#[derive(Debug, Args)]
pub struct ImageArguments {
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
}

#[derive(Debug, Args)]
pub struct FlattenArguments {
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Where the complete image is going to be; nothing is ever overwritten
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// It has the original's id, because it is going to take its place; no other image may build on the original
    #[arg(long)]
    pub keep_id: bool,
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Processes and threads with all their state
    #[arg(long)]
    pub tree: bool,
    /// Mappings, and where their pages are
    #[arg(long)]
    pub memory: bool,
    /// Open files and descriptors
    #[arg(long)]
    pub files: bool,
    /// Write what the application showed there: PNG of a display, SVG of a terminal
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
    /// Large binary fields in full instead of length and hash
    #[arg(long)]
    pub full: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compress {
    None,
    Lz4,
    Zstd,
}

impl From<Compress> for Compression {
    fn from(compress: Compress) -> Compression {
        match compress {
            Compress::None => Compression::None,
            Compress::Lz4 => Compression::Lz4,
            Compress::Zstd => Compression::Zstd,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Changed {
    /// Go on
    Continue,
    /// Go on, and name them in the result's notes
    Warn,
    /// Restore nothing
    Refuse,
}

impl From<Changed> for ChangedFiles {
    fn from(changed: Changed) -> ChangedFiles {
        match changed {
            Changed::Continue => ChangedFiles::Continue,
            Changed::Warn => ChangedFiles::Warn,
            Changed::Refuse => ChangedFiles::Refuse,
        }
    }
}

/// What a command line means.
#[derive(Debug)]
pub enum Parsed {
    Command(Box<Arguments>),
    /// Help or version.
    Text(String),
}

impl Arguments {
    pub fn read<I, T>(words: I) -> Result<Parsed, Failure>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        match Arguments::try_parse_from(words) {
            Ok(arguments) => Ok(Parsed::Command(Box::new(arguments))),
            Err(error) => match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Parsed::Text(error.to_string())),
                _ => Err(Failure::usage(one_line(&error.to_string()))),
            },
        }
    }
}

/// Clap's message without its heading and its trailing hint, on one line.
fn one_line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines =
        text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("For more information"));
    lines.collect::<Vec<_>>().join("; ").replace(":;", ":").replace("Usage:", "usage:")
}

fn capsule_id(text: &str) -> Result<CapsuleId, String> {
    CapsuleId::new(text).map_err(|e| e.to_string())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it has no '='")?;
    if key.is_empty() { Err("its key is empty".into()) } else { Ok((key.to_owned(), value.to_owned())) }
}

fn window_size(text: &str) -> Result<WindowSize, String> {
    let size = text.split_once('x').and_then(|(columns, rows)| {
        Some(WindowSize { columns: columns.parse().ok()?, rows: rows.parse().ok()? })
    });
    size.ok_or_else(|| "a size reads like 80x24".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn refused(line: &str) -> String {
        let words = std::iter::once("torpor-helper").chain(line.split_ascii_whitespace());
        match Arguments::read(words) {
            Err(failure) => failure.message,
            Ok(parsed) => panic!("{line}: {parsed:?}"),
        }
    }

    fn command(line: &str) -> Command {
        let words = std::iter::once("torpor-helper").chain(line.split_ascii_whitespace());
        match Arguments::read(words) {
            Ok(Parsed::Command(arguments)) => arguments.command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "",
            "sleep",
            "inspect",
            "inspect --pid 1 --capsule a",
            "inspect --pid 0",
            "inspect --capsule A/b",
            "capture --pid 7",
            "capture --pid 7 --image x --compress rar",
            "capture --pid 7 --image x --meta novalue",
            "capture --pid 7 --image x --track --stop",
            "restore --image x",
            "restore --image x --capsule a --in-place",
            "restore --image x --in-place --changed-files ignore",
            "run --capsule a",
            "run --capsule a --tty --display 1x1 -- true",
            "verify",
            "flatten --image x",
        ] {
            assert!(!refused(line).contains('\n'), "{line}");
        }
        assert!(
            refused("inspect --capsule A").contains("is not a capsule id"),
            "{}",
            refused("inspect --capsule A")
        );
    }

    #[test]
    fn a_command_behind_the_dashes_keeps_its_options() {
        let Command::Run(run) = command("run --capsule a --tty --env A=1 --env B=2 -- sh -c --help") else {
            panic!()
        };
        assert_eq!(run.command, ["sh", "-c", "--help"]);
        assert_eq!(run.env, ["A=1", "B=2"]);
        assert_eq!(run.size, WindowSize { columns: 80, rows: 24 });
    }

    #[test]
    fn a_restore_goes_to_one_place() {
        let Command::Restore(restore) = command("restore --image x --capsule a --eager") else { panic!() };
        assert!(restore.place.capsule.is_some() && restore.eager);
        let Command::Restore(restore) = command("restore --in-place --image x --pidfile p") else { panic!() };
        assert!(restore.place.in_place && restore.pidfile.is_some());
    }

    #[test]
    fn a_value_may_hold_an_equals_sign() {
        let Command::Capture(capture) = command("capture --pid 7 --image x --meta label=a=b --trace") else {
            panic!()
        };
        assert_eq!(capture.meta, [("label".to_owned(), "a=b".to_owned())]);
    }
}
