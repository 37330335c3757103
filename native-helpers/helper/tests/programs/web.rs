//! Web servers under load: every answer is right, before, between and after the rounds.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::running::{Running, folder, free_port, program, until, ways};

/// A client that keeps its connection, and connects again when that breaks.
pub struct Client {
    port: u16,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(port: u16) -> Self {
        Self { port, connection: None }
    }

    /// One GET: the body of the answer.
    pub fn get(&mut self) -> std::io::Result<String> {
        let body = self.exchange();
        if body.is_err() {
            self.connection = None;
        }
        body
    }

    /// Asks again after an answer that never came, as a browser does.
    pub fn get_again(&mut self) -> String {
        until("an answer", || self.get().ok())
    }

    fn exchange(&mut self) -> std::io::Result<String> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            self.connection = Some(BufReader::new(stream));
        }
        let connection = self.connection.as_mut().expect("a connection");
        connection.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")?;
        let (mut length, mut line, mut first) = (None, String::new(), true);
        loop {
            line.clear();
            if connection.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            assert!(!first || line.starts_with("HTTP/1.1 200"), "the server answers {line}");
            first = false;
            if line.trim_end().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
        }
        let mut body = vec![0; length.expect("the answer's length")];
        connection.read_exact(&mut body)?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// Clients that ask all the time while `rounds` runs; an answer that comes has to satisfy `right`.
fn under_load(port: u16, right: impl Fn(&str) -> bool + Sync, rounds: impl FnOnce(&AtomicU64)) {
    let (over, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = Client::new(port);
                while !over.load(Ordering::SeqCst) {
                    match client.get() {
                        Ok(body) => {
                            assert!(right(&body), "a wrong answer: {body:?}");
                            answers.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(_) => std::thread::sleep(Duration::from_millis(10)),
                    }
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rounds(&answers)));
        over.store(true, Ordering::SeqCst);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

pub fn nginx() {
    let port = free_port();
    let folder = folder();
    let here = folder.path().to_str().expect("a path in UTF-8").to_owned();
    let page = "answer ".repeat(3000);
    fs::create_dir(folder.path().join("pages")).unwrap();
    fs::write(folder.path().join("pages/index.html"), &page).unwrap();
    fs::set_permissions(folder.path().join("pages"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {here}/{kind};"))
        .collect();
    let configuration = format!(
        "daemon off; worker_processes 2; pid {here}/pid; error_log {here}/errors;
         events {{ worker_connections 256; }}
         http {{
             access_log {here}/accesses; {temporary} aio threads;
             limit_req_zone $binary_remote_addr zone=one:1m rate=100000r/s;
             proxy_cache_path {here}/cache keys_zone=two:1m;
             server {{ listen 127.0.0.1:{port}; root {here}/pages; limit_req zone=one burst=1000 nodelay; }}
         }}"
    );
    fs::write(folder.path().join("configuration"), configuration).unwrap();
    let mut command = Command::new(program("nginx", &["/usr/sbin"]));
    command.args(["-p", &here, "-c", &format!("{here}/configuration"), "-e", &format!("{here}/errors")]);
    let mut nginx = Running::start(folder, &mut command).resetting_connections();
    until("nginx answers", || Client::new(port).get().ok());
    under_load(
        port,
        |body| body == page,
        |answers| {
            for way in ways(true) {
                nginx.take(way);
                let before = answers.load(Ordering::SeqCst);
                until("clients are answered again", || {
                    (answers.load(Ordering::SeqCst) > before + 50).then_some(())
                });
            }
        },
    );
    let workers = crate::tree::descendants(nginx.root).len();
    assert!(workers >= 3, "master and workers: {workers} processes");
    // The master still governs: a reload makes new workers.
    let generation = crate::tree::descendants(nginx.root);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(nginx.root as i32).unwrap(),
        rustix::process::Signal::HUP,
    )
    .unwrap();
    until("new workers after a reload", || {
        (crate::tree::descendants(nginx.root).difference(&generation).count() >= 2).then_some(())
    });
    assert_eq!(Client::new(port).get_again(), page);
}

pub fn node() {
    let port = free_port();
    let script = crate::runtimes::source("keep_alive_server.mjs");
    let mut command = Command::new(program("node", &[]));
    command.arg(script).arg(port.to_string());
    let mut node = Running::start(folder(), &mut command).resetting_connections();
    let mut client = Client::new(port);
    until("node answers", || client.get().ok());
    let numbers = |body: &str| -> Vec<u64> {
        assert!(body.starts_with("true "), "its memory has changed: {body}");
        body.split_whitespace().skip(1).map(|word| word.parse().expect("a number")).collect()
    };
    under_load(
        port,
        |body| body.starts_with("true "),
        |_| {
            for way in ways(true) {
                node.take(way);
                let before = numbers(&client.get_again());
                until("timers and worker threads go on", || {
                    let now = numbers(&client.get_again());
                    now.iter().zip(&before).all(|(now, before)| now > before).then_some(())
                });
            }
        },
    );
}
