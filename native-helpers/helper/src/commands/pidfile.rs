//! `--pidfile`: one number and a newline, there as a whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A PID file that is going to be: its folder has been found writable before anything else was done.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<File>,
}

impl Pidfile {
    pub fn prepare(path: &Path) -> Result<Pidfile, Failure> {
        let name = path
            .file_name()
            .ok_or_else(|| Failure::usage(format!("{} is not the path of a file", path.display())))?;
        let hidden = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
        let temporary = path.with_file_name(hidden);
        let file = File::options().write(true).create_new(true).open(&temporary);
        let file = file.map_err(|e| Failure::io(&format!("making the PID file {}", path.display()), &e))?;
        Ok(Pidfile { path: path.to_owned(), temporary, file: Some(file) })
    }

    pub fn write(mut self, pid: i32) -> io::Result<()> {
        let mut file = self.file.take().ok_or(io::ErrorKind::Other)?;
        writeln!(file, "{pid}")?;
        std::fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // After the rename there is nothing of that name.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_only_once_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.pid");
        drop(Pidfile::prepare(&path).unwrap());
        let pidfile = Pidfile::prepare(&path).unwrap();
        assert!(!path.exists());
        pidfile.write(4711).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "4711\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
