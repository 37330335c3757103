//! Databases: what was acknowledged is there, and what they hold agrees with itself.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::running::{Running, folder, free_port, output, program, rounds, until, ways};

const CLIENTS: usize = 3;

/// One command of redis' protocol, and the first line of its answer, or the value.
fn ask(connection: &mut BufReader<TcpStream>, words: &[&str]) -> std::io::Result<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    connection.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    if line.starts_with('$') && line.trim_end() != "$-1" {
        line.clear();
        connection.read_line(&mut line)?;
    }
    Ok(line.trim_end().to_owned())
}

fn connect(port: u16) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(BufReader::new(stream))
}

pub fn redis() {
    let port = free_port();
    let folder = folder();
    let mut command = Command::new(program("redis-server", &[]));
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]);
    let mut redis = Running::start(folder, &mut command).resetting_connections();
    let mut admin = until("redis answers", || {
        let mut connection = connect(port).ok()?;
        (ask(&mut connection, &["PING"]).ok()? == "+PONG").then_some(connection)
    });
    // 50 MB in short runs, 500 MB in long ones.
    let keys = if rounds() > 5 { "500000" } else { "50000" };
    assert_eq!(ask(&mut admin, &["DEBUG", "POPULATE", keys, "key", "1000"]).unwrap(), "+OK");
    drop(admin);

    let over = AtomicBool::new(false);
    let acknowledged: [AtomicU64; CLIENTS] = Default::default();
    std::thread::scope(|scope| {
        for (client, acknowledged) in acknowledged.iter().enumerate() {
            let over = &over;
            scope.spawn(move || write_on(port, client, acknowledged, over));
        }
        // Also when a round fails: the scope waits for its threads.
        let _over = SetOnDrop(&over);
        for way in ways(false) {
            redis.take(way);
            let before: Vec<u64> = acknowledged.iter().map(|a| a.load(Ordering::SeqCst)).collect();
            until("all clients write again", || {
                acknowledged.iter().zip(&before).all(|(a, b)| a.load(Ordering::SeqCst) > *b).then_some(())
            });
            for (client, before) in before.iter().enumerate() {
                let there: u64 =
                    ask(&mut connect(port).unwrap(), &["GET", &name(client)]).unwrap().parse().unwrap();
                assert!(there >= *before, "client {client}: {before} was acknowledged, {there} is there");
            }
        }
    });
    let mut connection = connect(port).unwrap();
    for (client, acknowledged) in acknowledged.iter().enumerate() {
        let there: u64 = ask(&mut connection, &["GET", &name(client)]).unwrap().parse().unwrap();
        assert!(there >= acknowledged.load(Ordering::SeqCst));
    }
    let expected = keys.parse::<usize>().unwrap() + CLIENTS;
    assert_eq!(ask(&mut connection, &["DBSIZE"]).unwrap(), format!(":{expected}"));
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn name(client: usize) -> String {
    format!("client {client}")
}

/// Writes rising numbers, connecting again whenever the connection breaks.
fn write_on(port: u16, client: usize, acknowledged: &AtomicU64, over: &AtomicBool) {
    let mut number = 0;
    while !over.load(Ordering::SeqCst) {
        let Ok(mut connection) = connect(port) else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        while !over.load(Ordering::SeqCst) {
            number += 1;
            match ask(&mut connection, &["SET", &name(client), &number.to_string()]) {
                Ok(answer) if answer == "+OK" => acknowledged.store(number, Ordering::SeqCst),
                _ => break,
            }
        }
    }
}

pub fn postgresql() {
    let places = ["/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin"];
    let (initdb, postgres) = (program("initdb", &places), program("postgres", &places));
    let (psql, pgbench) = (program("psql", &places), program("pgbench", &places));
    let (uid, gid) = account("postgres");
    let as_owner = |file: &std::path::Path| {
        let mut command = Command::new(file);
        command.uid(uid).gid(gid).current_dir("/");
        command
    };
    let folder = folder();
    let data = folder.path().join("data");
    output(as_owner(&initdb).arg("-D").arg(&data).args(["-A", "trust", "--no-sync"]));
    let port = free_port().to_string();
    let mut command = as_owner(&postgres);
    command.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-p", &port, "-h", "127.0.0.1"]);
    command.args(["-c", "fsync=off"]);
    let mut server = Running::start(folder, &mut command).resetting_connections();

    // By TCP: nothing on the command line of a client tells that it belongs to the server.
    let at = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
    let query = |text: &str| output(Command::new(&psql).args(at).args(["-Atc", text, "postgres"]));
    until("PostgreSQL answers", || {
        Command::new(&psql)
            .args(at)
            .args(["-c", "select 1", "postgres"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok()?
            .success()
            .then_some(())
    });
    output(Command::new(&pgbench).args(at).args(["-i", "-q", "-s", "2", "postgres"]));
    let count = || query("select count(*) from pgbench_history").trim().parse::<u64>().unwrap();
    let mut done = 0;
    for way in ways(false) {
        let mut load = Command::new(&pgbench)
            .args(at)
            .args(["-n", "-c", "4", "-T", "2", "postgres"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start pgbench");
        until("transactions are under way", || (count() > done).then_some(()));
        server.take(way);
        // A capture that ends the server breaks its clients off; the next ones begin anew.
        load.wait().expect("wait for pgbench");
        let balances = query(
            "select (select sum(abalance) from pgbench_accounts) = sum(delta), \
             (select sum(tbalance) from pgbench_tellers) = sum(delta), \
             (select sum(bbalance) from pgbench_branches) = sum(delta) from pgbench_history",
        );
        assert_eq!(balances.trim(), "t|t|t", "the balances differ from the history");
        let now = count();
        assert!(now > done, "no transaction was added");
        done = now;
    }
}

/// Uid and gid of an account.
fn account(name: &str) -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").expect("read the accounts");
    let fields: HashMap<usize, &str> = accounts
        .lines()
        .find(|line| line.split(':').next() == Some(name))
        .unwrap_or_else(|| panic!("there is no account {name}"))
        .split(':')
        .enumerate()
        .collect();
    (fields[&2].parse().expect("a uid"), fields[&3].parse().expect("a gid"))
}

pub fn sqlite() {
    let sqlite3 = program("sqlite3", &[]);
    let folder = folder();
    let (database, input) = (folder.path().join("test.db"), folder.path().join("input"));
    output(Command::new("mkfifo").arg(&input));
    // It keeps the FIFO's other end open itself: no input is no end of input.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" test.db 3<>input <input"]).arg(&sqlite3);
    let mut shell = Running::start(folder, &mut command);
    let tell = |text: &str| {
        let mut input = fs::OpenOptions::new().write(true).open(&input).expect("open the input");
        input.write_all(text.as_bytes()).expect("tell sqlite3");
    };
    // So small a cache that the transaction spills into the file, behind its journal.
    tell("create table t(x);\npragma cache_size=5;\nbegin immediate;\n");
    let mut rows = 0;
    for (round, way) in ways(false).enumerate() {
        let done = shell.path(&format!("done-{round}"));
        tell(&"insert into t values(hex(randomblob(500)));\n".repeat(200));
        rows += 200;
        tell(&format!(".shell touch {}\n", done.display()));
        until("the rows are inserted", || done.exists().then_some(()));
        shell.take(way);
        let other = Command::new(&sqlite3).arg(&database).arg("begin immediate;").output().unwrap();
        let said = String::from_utf8_lossy(&other.stderr).into_owned();
        assert!(said.contains("locked"), "the transaction's lock does not hold: {said}");
    }
    let done = shell.path("committed");
    tell(&format!("commit;\n.shell touch {}\n", done.display()));
    until("the transaction is committed", || done.exists().then_some(()));
    let mut found = String::new();
    let mut check = Command::new(&sqlite3)
        .arg(&database)
        .arg("select count(*) from t; pragma integrity_check;")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdout.take().unwrap().read_to_string(&mut found).unwrap();
    check.wait().unwrap();
    assert_eq!(found, format!("{rows}\nok\n"));
}
