//! Questions to a running init, on `init.sock` (root only): one JSON request per line, one JSON
//! answer per line.
//!
//! | request | answer |
//! | --- | --- |
//! | `{"op":"status"}` | `{"ok":true,"status":{…}}` |
//! | `{"op":"terminal-state","frozen":true}` | `{"ok":true,"terminal":{…}}`, null when there is no terminal |
//! | `{"op":"end","reason":"hibernated"}` | `{"ok":true}`; then everything in the capsule is killed |
//!
//! A failure is `{"ok":false,"message":…}`.
//!
//! **Order at a capture.** Freeze the whole tree, then ask for `terminal-state`, then let the tree
//! run. Nothing writes to the terminal while the tree is frozen, and before answering init reads
//! the master side until the kernel says that nothing is left (its read waits for output that is
//! still being passed on). So every byte that the application has written is in the state and
//! has gone to the attached clients exactly once; none is lost or doubled. The same holds for input:
//! what init has taken from clients and not yet passed on is in `pendingInput`, and what the
//! application has not read yet is in `unreadInput`. (The latter only with `"frozen":true`: it is
//! taken out of the terminal and put back, which a running application would notice.)

use crate::error::{CapsuleError, Errno, Result};
use crate::pty::WindowSize;
use crate::runtime_folder::{INIT_SOCKET, connect, folder_of};
use crate::spec::CapsuleId;
use crate::terminal::SavedTerminal;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest request that init reads.
pub(crate) const REQUEST_MAX: usize = 64 << 10;
/// Init answers within milliseconds; a minute means that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Status,
    TerminalState {
        /// Nothing in the capsule runs: unread input can be looked at.
        #[serde(default)]
        frozen: bool,
    },
    End {
        reason: Option<String>,
    },
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<SavedTerminal>,
}

/// How init is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub root_pid_inside: i32,
    pub size: Option<WindowSize>,
    pub title: Option<String>,
    pub clients: usize,
    pub resident_kib: u64,
    /// Work that is still going on behind the application, for instance paging memory in.
    pub background_tasks: usize,
}

/// A connection to a running init. Connect before entering the capsule: inside, the socket's path
/// may not exist.
#[derive(Debug)]
pub struct Client {
    id: CapsuleId,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// # Errors
    /// [`CapsuleError::NotFound`] when no init listens.
    pub fn connect(run_folder: &Path, id: &CapsuleId) -> Result<Self> {
        let folder = folder_of(run_folder, id);
        let stream = connect(&folder, INIT_SOCKET).map_err(|error| match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => {
                CapsuleError::path("connect to", folder.join(INIT_SOCKET), error)
            }
            _ => CapsuleError::NotFound { id: id.to_string() },
        })?;
        let patience = || -> std::io::Result<()> {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))
        };
        patience().map_err(|e| CapsuleError::step("prepare a socket", e))?;
        Ok(Self { id: id.clone(), stream: BufReader::new(stream) })
    }

    /// # Errors
    /// [`CapsuleError::Ended`] when init is gone, [`CapsuleError::Refused`] when it says no.
    pub fn ask(&mut self, request: &Request) -> Result<Answer> {
        let ended = || CapsuleError::Ended { id: self.id.to_string() };
        let mut line = serde_json::to_vec(request)
            .map_err(|_| CapsuleError::Step { step: "write a request".into(), errno: Errno(libc::EINVAL) })?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(|_| ended())?;
        let mut text = String::new();
        match self.stream.read_line(&mut text) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(CapsuleError::Step {
                    step: "wait for init's answer".into(),
                    errno: Errno(libc::ETIMEDOUT),
                });
            }
            Err(_) | Ok(0) => return Err(CapsuleError::Ended { id: self.id.to_string() }),
            Ok(_) => {}
        }
        let answer: Answer = serde_json::from_str(&text)
            .map_err(|error| CapsuleError::Refused { message: format!("unreadable answer: {error}") })?;
        if answer.ok {
            Ok(answer)
        } else {
            Err(CapsuleError::Refused { message: answer.message.unwrap_or_default() })
        }
    }

    /// The terminal as an image keeps it; `None` when the capsule has none. Freeze the tree first.
    ///
    /// # Errors
    /// See [`Client::ask`].
    pub fn terminal_state(&mut self) -> Result<Option<SavedTerminal>> {
        Ok(self.ask(&Request::TerminalState { frozen: true })?.terminal)
    }

    /// # Errors
    /// See [`Client::ask`].
    pub fn status(&mut self) -> Result<Status> {
        Ok(self.ask(&Request::Status)?.status.unwrap_or_default())
    }

    /// Kills everything in the capsule; `exit.json` will name the reason.
    ///
    /// # Errors
    /// See [`Client::ask`].
    pub fn end(&mut self, reason: &str) -> Result<()> {
        self.ask(&Request::End { reason: Some(reason.to_owned()) }).map(|_| ())
    }
}
