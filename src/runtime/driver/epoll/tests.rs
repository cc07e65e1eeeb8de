//! The driver alone: what must hold of every operation, whatever becomes of it.

use super::super::{Op, user_data};
use super::*;
use crate::runtime::outgoing::Pieces;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::time::Duration;

const SLOT: u32 = 3;
const INBOX: usize = 4096;

fn driver() -> Driver {
    let config = RingConfig {
        submission_entries: 64,
        completion_entries: 64,
        receive_buffers: 16,
        receive_buffer_bytes: 1024,
        inbox_bytes: INBOX,
    };
    Driver::open(&config).unwrap()
}

/// A descriptor for the driver, and its peer.
fn pair() -> (RawFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_nonblocking(true).unwrap();
    (near.into_raw_fd(), listener.accept().unwrap().0)
}

fn data(op: Op) -> u64 {
    user_data(op, 1, SLOT)
}

/// The next turn's completions: what it was, the result, whether it goes on; and the bytes received.
fn turn(driver: &mut Driver) -> (Vec<(u64, i32, bool)>, Vec<u8>) {
    let (mut all, mut bytes) = (Vec::new(), Vec::new());
    driver.turn(Duration::from_millis(100)).unwrap();
    while let Some(completion) = driver.completion() {
        if completion.data == data(Op::Receive) {
            driver.received(&completion, |some| bytes.extend_from_slice(some));
        }
        all.push((completion.data, completion.result, completion.more()));
    }
    (all, bytes)
}

fn send(driver: &mut Driver, fd: RawFd, bytes: &[u8]) {
    let message = Message { pieces: Pieces::One(bytes.as_ptr()), len: bytes.len() };
    // SAFETY: every test keeps its bytes until its driver has completed the send.
    unsafe { driver.send(fd, message, data(Op::Send)) };
}

#[test]
fn whatever_is_cancelled_completes_once_and_says_so() {
    let ((fd, _peer), mut driver, bytes) = (pair(), driver(), vec![7; 64 << 20]);
    driver.receive(fd, data(Op::Receive));
    send(&mut driver, fd, &bytes);
    let (all, _) = turn(&mut driver);
    assert!(matches!(all[..], [(_, 1.., false)]), "as much as there was room for: {all:?}");
    send(&mut driver, fd, &bytes);
    assert_eq!(turn(&mut driver).0, [], "there is no room");
    driver.cancel_all(SLOT, fd, data(Op::Side));
    let cancelled = -libc::ECANCELED;
    let expected = [
        (data(Op::Receive), cancelled, false),
        (data(Op::Send), cancelled, false),
        (data(Op::Side), 0, false),
    ];
    assert_eq!(turn(&mut driver).0, expected);
    driver.close(SLOT, fd);
    assert_eq!(turn(&mut driver).0, []);
}

#[test]
fn what_was_sent_before_it_was_cancelled_has_gone_out() {
    let ((fd, mut peer), mut driver) = (pair(), driver());
    send(&mut driver, fd, b"last words");
    driver.shutdown_write(fd, data(Op::Side));
    driver.cancel_all(SLOT, fd, data(Op::Side));
    let expected = [(data(Op::Send), 10, false), (data(Op::Side), 0, false), (data(Op::Side), 0, false)];
    assert_eq!(turn(&mut driver).0, expected);
    let mut read = String::new();
    peer.read_to_string(&mut read).unwrap();
    assert_eq!(read, "last words");
    driver.close(SLOT, fd);
}

#[test]
fn readiness_and_the_end_outlive_a_pause() {
    let ((fd, mut peer), mut driver) = (pair(), driver());
    let sent: Vec<u8> = (0..INBOX + 100).map(|n| (n % 251) as u8).collect();
    peer.write_all(&sent).unwrap();
    drop(peer);
    driver.receive(fd, data(Op::Receive));
    let (all, mut got) = turn(&mut driver);
    assert_eq!(all, [(data(Op::Receive), INBOX as i32, true)], "one full read in a turn");
    driver.cancel(data(Op::Receive), data(Op::Side));
    let cancelled = [(data(Op::Receive), -libc::ECANCELED, false), (data(Op::Side), 0, false)];
    assert_eq!(turn(&mut driver).0, cancelled, "nothing is read while nobody wants it");
    assert_eq!(turn(&mut driver).0, []);
    // No edge will come: it was told with the first one.
    driver.receive(fd, data(Op::Receive));
    let (all, rest) = turn(&mut driver);
    got.extend(rest);
    assert_eq!(all, [(data(Op::Receive), 100, true), (data(Op::Receive), 0, false)]);
    assert_eq!(got, sent);
    driver.close(SLOT, fd);
}

#[test]
fn a_slot_that_is_used_again_knows_nothing_of_the_socket_before() {
    let ((fd, mut peer), mut driver) = (pair(), driver());
    driver.receive(fd, data(Op::Receive));
    peer.write_all(&[1; INBOX]).unwrap();
    drop(peer);
    turn(&mut driver);
    driver.cancel(data(Op::Receive), data(Op::Side));
    turn(&mut driver);
    driver.close(SLOT, fd);
    let (fd, _peer) = pair();
    driver.receive(fd, data(Op::Receive));
    assert_eq!(turn(&mut driver).0, [], "neither bytes nor an end");
    driver.close(SLOT, fd);
}

#[test]
fn two_turns_in_a_row_do_not_pass_by_epoll() {
    let ((fd, mut peer), mut driver, bytes) = (pair(), driver(), *b"x");
    driver.receive(fd, data(Op::Receive));
    assert_eq!(turn(&mut driver).0, []);
    peer.write_all(b"y").unwrap();
    send(&mut driver, fd, &bytes);
    assert_eq!(turn(&mut driver).0, [(data(Op::Send), 1, false)], "told without asking");
    send(&mut driver, fd, &bytes);
    assert_eq!(turn(&mut driver).0, [(data(Op::Send), 1, false), (data(Op::Receive), 1, true)]);
    driver.close(SLOT, fd);
}
