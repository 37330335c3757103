//! Language runtimes with threads, collectors and compilers of their own: their memory is whole, and
//! everything in them goes on.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::running::{Running, folder, free_port, output, program, until, ways};
use crate::web::Client;

/// A program of tests/programs.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs").join(name)
}

/// Takes a program through its rounds: `ask` gives its counters, each of which must grow on.
fn counts_on(running: &mut Running, back: bool, mut ask: impl FnMut() -> Option<Vec<u64>>) {
    until("the program answers", &mut ask);
    for way in ways(back) {
        running.take(way);
        let before = until("an answer after the round", &mut ask);
        until("everything in it goes on", || {
            let now = ask()?;
            now.iter().zip(&before).all(|(now, before)| now > before).then_some(())
        });
    }
}

/// Numbers behind a word that says whether the program's memory is whole.
fn numbers(line: &str) -> Option<Vec<u64>> {
    let mut words = line.split_whitespace();
    let whole = words.next()?;
    assert_eq!(whole, "true", "its memory has changed: {line}");
    words.map(|word| word.parse().ok()).collect()
}

pub fn jvm() {
    let port = free_port();
    let folder = folder();
    output(Command::new(program("javac", &[])).arg("-d").arg(folder.path()).arg(source("HeapServer.java")));
    let mut command = Command::new(program("java", &[]));
    command.args(["-Xmx256m", "-cp", ".", "HeapServer", &port.to_string(), "150"]);
    let mut jvm = Running::start(folder, &mut command).resetting_connections();
    counts_on(&mut jvm, true, || {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        numbers(&line)
    });
}

pub fn go() {
    let port = free_port();
    let folder = folder();
    let binary = folder.path().join("goroutines");
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache");
    output(
        Command::new(program("go", &["/usr/local/go/bin"]))
            .args(["build", "-o"])
            .arg(&binary)
            .arg(source("goroutines.go"))
            .env("CGO_ENABLED", "0")
            .env("GOCACHE", cache)
            .env("GOFLAGS", "-mod=mod"),
    );
    let mut command = Command::new(binary);
    command.arg(format!("127.0.0.1:{port}"));
    let mut server = Running::start(folder, &mut command).resetting_connections();
    counts_on(&mut server, true, || numbers(&Client::new(port).get().ok()?));
}

pub fn python_fork() {
    python("fork");
}

pub fn python_spawn() {
    python("spawn");
}

pub fn python_forkserver() {
    python("forkserver");
}

fn python(method: &str) {
    // Debian's own: the images name the libraries of one interpreter.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(source("shared_workers.py")).args(["socket", method]);
    let mut workers = Running::start(folder(), &mut command);
    let path = workers.path("socket");
    // Named shared memory is the machine's own outside of a capsule: what is in it does not go back.
    counts_on(&mut workers, false, || {
        let stream = UnixStream::connect(&path).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [turns, ticks, last, alone, alive] = words[..] else { return None };
        assert_eq!((alone, alive), ("True", "True"), "the lock or a worker is lost: {line}");
        [turns, ticks, last].iter().map(|word| word.parse().ok()).collect()
    });
}
