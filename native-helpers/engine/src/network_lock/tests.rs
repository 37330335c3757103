use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::*;

fn end(address: SocketAddr) -> End {
    match address {
        SocketAddr::V4(a) => (a.port(), a.ip().octets().to_vec()),
        SocketAddr::V6(a) => (a.port(), a.ip().octets().to_vec()),
    }
}

fn pair(address: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    one.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    (one, listener.accept().unwrap().0)
}

/// What `own` hears from its peer.
fn connection(own: &TcpStream) -> Connection {
    (end(own.peer_addr().unwrap()), end(own.local_addr().unwrap()))
}

fn hears(own: &mut TcpStream, peer: &mut TcpStream) -> bool {
    peer.write_all(b"x").unwrap();
    own.read(&mut [0; 8]).is_ok()
}

#[test]
fn what_arrives_is_dropped_and_comes_again_later() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (mut own, mut peer) = pair(address);
        let (mut other, mut other_peer) = pair(address);
        let all = [connection(&own)];
        match lock(&all) {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EPERM | libc::EPROTONOSUPPORT)) => return,
            outcome => outcome.unwrap(),
        }
        // Twice is no harm.
        lock(&all).unwrap();
        assert!(locked().unwrap() > 0);
        assert!(!hears(&mut own, &mut peer), "{address}");
        assert!(hears(&mut peer, &mut own), "the other direction is open");
        assert!(hears(&mut other, &mut other_peer), "others are not touched");
        unlock(&all);
        own.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(own.read(&mut [0; 1]).unwrap(), 1, "{address}");
        unlock(&all);
    }
}

#[test]
fn many_make_and_undo_it_at_once() {
    let made = |n: u16| ((n, vec![192, 0, 2, 9]), (n, vec![192, 0, 2, 8]));
    if let Err(e) = lock(&[made(1)]) {
        assert!(matches!(e.raw_os_error(), Some(libc::EPERM | libc::EPROTONOSUPPORT)), "{e}");
        return;
    }
    unlock(&[made(1)]);
    std::thread::scope(|scope| {
        for n in 1..=4u16 {
            scope.spawn(move || {
                for round in 0..10 {
                    let all: Vec<Connection> = (0..300).map(|i| made(n * 1000 + round + i)).collect();
                    lock(&all).unwrap();
                    assert!(locked().unwrap() > 0);
                    unlock(&all);
                }
            });
        }
    });
}
