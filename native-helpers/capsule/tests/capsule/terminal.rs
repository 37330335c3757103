//! The terminal: attaching, several clients, bad clients, and the state for an image.

use crate::world::world;
use std::time::{Duration, Instant};
use torpor_capsule::WindowSize;
use torpor_capsule::attach::Frame;

#[test]
fn a_client_gets_the_screen_then_output_and_the_end() {
    let Some(world) = world() else { return };
    world.shell("a", "echo early; read line; echo \"<$line>\"; stty size; read line; exit 5");
    let mut client = world.attach("a", 100, 40);
    assert!(matches!(client.next(), Frame::Snapshot(_)), "{:?}", client.seen);
    client.until_text("early");
    client.type_in("hello\n");
    client.until_text("<hello>");
    client.until_text("40 100");
    client.type_in("\n");
    let Frame::Exit(json) = client.until_frame(|f| matches!(f, Frame::Exit(_))) else { unreachable!() };
    let exit: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(exit["exitStatus"], 5);
    assert_eq!(client.client.receive().unwrap(), None);
    assert_eq!(world.exit("a").exit_status, Some(5));
}

#[test]
fn several_clients_share_the_terminal() {
    let Some(world) = world() else { return };
    world.shell("a", "trap 'stty size' WINCH; echo start; while :; do read line && echo \"<$line>\"; done");
    let mut first = world.attach("a", 90, 30);
    first.until_text("start");
    let mut viewer = world.connect("a", &Frame::View);
    assert_eq!(viewer.next(), Frame::Size(WindowSize { columns: 90, rows: 30 }));
    assert!(matches!(viewer.next(), Frame::Snapshot(_)));
    viewer.until_text("start");
    let mut second = world.attach("a", 70, 20);
    second.until_text("start");
    let resized = Frame::Size(WindowSize { columns: 70, rows: 20 });
    first.until_frame(|f| *f == resized);
    viewer.until_frame(|f| *f == resized);
    // A viewer only views.
    viewer.type_in("from the viewer\n");
    viewer.client.send(&Frame::Resize(WindowSize { columns: 10, rows: 10 })).unwrap();
    second.type_in("from the second\n");
    for client in [&mut first, &mut viewer, &mut second] {
        client.until_text("<from the second>");
        assert!(!client.text().contains("<from the viewer>"));
    }
    first.client.send(&Frame::Resize(WindowSize { columns: 60, rows: 15 })).unwrap();
    let resized = Frame::Size(WindowSize { columns: 60, rows: 15 });
    second.until_frame(|f| *f == resized);
    assert_eq!(world.say("status", &["a"]).last()["clients"], 3);
    drop((second, viewer));
    world.until("the others' end", || (world.say("status", &["a"]).last()["clients"] == 1).then_some(()));
}

#[test]
fn a_client_that_does_not_read_neither_blocks_nor_stays() {
    let Some(world) = world() else { return };
    world.shell("a", "read go; seq 1 2000000; echo done > /run/torpor-capsule/noted; sleep 1000");
    let mut slow = world.attach("a", 80, 24);
    slow.next();
    let mut good = world.attach("a", 80, 24);
    good.type_in("go\n");
    let started = Instant::now();
    good.until_text("2000000\r\n");
    world.noted("a", "noted");
    world.until("the slow client's end", || {
        (world.say("status", &["a"]).last()["clients"] == 1).then_some(())
    });
    assert!(started.elapsed() < Duration::from_secs(40));
    let kib = world.say("status", &["a"]).last()["residentKib"].as_u64().unwrap();
    assert!(kib < 32 << 10, "init uses {kib} KiB");
}

#[test]
fn a_client_that_falls_behind_gets_a_new_snapshot() {
    let Some(world) = world() else { return };
    world.shell("a", "read go; seq 1 1000000; echo the end; sleep 1000");
    let mut client = world.attach("a", 80, 24);
    client.next();
    client.type_in("go\n");
    std::thread::sleep(Duration::from_secs(2));
    client.until_text("the end");
    let snapshots = client.seen.iter().filter(|f| matches!(f, Frame::Snapshot(_))).count();
    assert!(snapshots >= 2, "{snapshots} snapshots");
    // Whatever was left out, the last snapshot has the lines before the end.
    assert!(client.text().contains("999999\r\n1000000\r\nthe end"));
}

#[test]
fn foreign_clients_are_told_and_closed() {
    let Some(world) = world() else { return };
    world.shell("a", "sleep 1000");
    for (bytes, message) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "unknown frame type 0x47"),
        (b"A\xff\xff\xff\x7f", "a frame of 2147483647 bytes is longer than 1048576"),
        (b"I\x01\0\0\0x", "the first frame must be an attach request"),
        (b"V\0\0\0\0O\0\0\0\0", "this frame is init's to send"),
    ] {
        let mut client = torpor_capsule::attach::Client::connect(&world.folder("a")).unwrap();
        client.stream().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        std::io::Write::write_all(&mut client.stream(), bytes).unwrap();
        let error = loop {
            match client.receive().unwrap() {
                Some(Frame::Error(text)) => break text,
                Some(_) => {}
                None => panic!("closed without a word"),
            }
        };
        assert_eq!(error, message);
        assert!(matches!(client.receive(), Ok(None) | Err(_)));
    }
    let mut ask = std::os::unix::net::UnixStream::connect(world.folder("a").join("init.sock")).unwrap();
    std::io::Write::write_all(&mut ask, b"{\"op\":\"format-disk\"}\n").unwrap();
    let mut answer = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(ask), &mut answer).unwrap();
    assert!(
        answer.starts_with("{\"ok\":false,\"message\":\"not a request: unknown variant `format-disk`"),
        "{answer}"
    );
    assert_eq!(world.say("status", &["a"]).status, 0);
}

#[test]
fn the_state_holds_all_that_was_written() {
    let Some(world) = world() else { return };
    // The program stops itself right after its last byte, as a freeze would.
    let record = world.shell("a", "seq -f 'line %g.' 1 1500; kill -STOP $$");
    world.until("the stop", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", record.root_pid)).ok()?;
        stat.rsplit(')').next()?.trim_start().starts_with('T').then_some(())
    });
    let state = world.say("state", &["a"]);
    let saved: torpor_capsule::SavedTerminal = serde_json::from_value(state.last().clone()).unwrap();
    let text = String::from_utf8(saved.repaint).unwrap();
    for line in [1, 2, 750, 1499, 1500] {
        assert_eq!(text.matches(&format!("line {line}.")).count(), 1, "line {line}");
    }
}

#[test]
fn questions_to_the_terminal_are_answered_when_nobody_is_there() {
    let Some(world) = world() else { return };
    let script = "stty raw -echo; printf '\\033[5;7H\\033[6n'; dd bs=1 count=6 2>/dev/null | od -c > /run/torpor-capsule/noted; echo >> /run/torpor-capsule/noted; sleep 1000";
    world.shell("a", script);
    let noted = world.noted("a", "noted");
    assert!(noted.contains("033   [   5   ;   7   R"), "{noted}");
}
