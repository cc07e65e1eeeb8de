//! Clients that do not behave. What they are told is nobody's concern; that they harm nobody is.

use super::good::Sent;
use super::order::Order;
use super::weather::Weather;
use crate::cli::kit::random::Random;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The longest that one of them holds a connection.
const HOLD_MAX: Duration = Duration::from_millis(2_500);
/// Connections and requests on each in a flood.
const FLOOD: (u64, u64) = (12, 8);

/// One client until the weather is over: the requests that it sent whole or in part.
pub(super) fn misbehave(weather: &Weather, lane: u64) -> Vec<Sent> {
    let mut random = Random::new(weather.seed, lane);
    let mut sent = Vec::new();
    while weather.lasts(&mut || ()) {
        let mut one = |random: &mut Random, size: Size| {
            let order = Order::bad(random, weather.tag());
            let order = if size == Size::Long { order.long() } else { order };
            sent.push(Sent { order: order.clone(), saw: None, reused: false, restarting: false });
            order
        };
        // Errors are how these things end.
        let _ = match random.between(0, 99) {
            0..=24 => abort_asking(weather, &mut random, &mut one),
            25..=44 => abort_reading(weather, &mut random, &mut one),
            45..=54 => stall(weather, &mut random, &mut one),
            55..=69 => trickle(weather, &mut random, &mut one),
            70..=81 => read_slowly(weather, &mut random, &mut one),
            82..=87 => flood(weather, &mut random, &mut one),
            _ => rubbish(weather, &mut random),
        };
        std::thread::sleep(Duration::from_millis(random.between(1, 30)));
    }
    sent
}

/// How long an answer is ordered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Short,
    Long,
}

type Draw<'a> = dyn FnMut(&mut Random, Size) -> Order + 'a;

fn connect(weather: &Weather) -> std::io::Result<TcpStream> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, weather.port));
    let socket = TcpStream::connect_timeout(&addr, Duration::from_secs(2))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.set_write_timeout(Some(Duration::from_millis(500)))?;
    Ok(socket)
}

/// Ends the connection, by a reset or in order.
fn end(socket: TcpStream, random: &mut Random) {
    if random.percent(50) {
        let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    }
}

/// Any byte of the request is the last.
fn abort_asking(weather: &Weather, random: &mut Random, draw: &mut Draw<'_>) -> std::io::Result<()> {
    let mut socket = connect(weather)?;
    let bytes = draw(random, Size::Short).bytes();
    let count = random.between(0, bytes.len() as u64) as usize;
    socket.write_all(&bytes[..count])?;
    if random.percent(50) {
        std::thread::sleep(Duration::from_millis(random.between(0, 60)));
    }
    end(socket, random);
    Ok(())
}

/// Any byte of the answer is the last.
fn abort_reading(weather: &Weather, random: &mut Random, draw: &mut Draw<'_>) -> std::io::Result<()> {
    let mut socket = connect(weather)?;
    socket.write_all(&draw(random, Size::Short).bytes())?;
    let mut left = random.between(1, 4_000) as usize;
    let mut piece = [0; 256];
    while left > 0 {
        let most = left.min(piece.len());
        match socket.read(&mut piece[..most])? {
            0 => break,
            count => left -= count,
        }
    }
    end(socket, random);
    Ok(())
}

/// A part of a request, then nothing.
fn stall(weather: &Weather, random: &mut Random, draw: &mut Draw<'_>) -> std::io::Result<()> {
    let mut socket = connect(weather)?;
    let bytes = draw(random, Size::Short).bytes();
    let count = random.between(0, bytes.len() as u64 - 1) as usize;
    socket.write_all(&bytes[..count])?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let until = Instant::now() + Duration::from_millis(random.between(100, HOLD_MAX.as_millis() as u64));
    let mut piece = [0; 1024];
    while Instant::now() < until && !weather.is_calm() {
        if socket.read(&mut piece).is_ok_and(|count| count == 0) {
            break;
        }
    }
    end(socket, random);
    Ok(())
}

/// A request in pieces of a few bytes.
fn trickle(weather: &Weather, random: &mut Random, draw: &mut Draw<'_>) -> std::io::Result<()> {
    let mut socket = connect(weather)?;
    let bytes = draw(random, Size::Short).bytes();
    let until = Instant::now() + HOLD_MAX;
    let (size, pause) = (random.between(1, 40) as usize, random.between(1, 8));
    for piece in bytes.chunks(size) {
        if Instant::now() > until || weather.is_calm() {
            break;
        }
        socket.write_all(piece)?;
        std::thread::sleep(Duration::from_millis(pause));
    }
    let _ = socket.read(&mut [0; 4096]);
    end(socket, random);
    Ok(())
}

/// A long answer, read a few bytes at a time by somebody who has hardly room for more.
fn read_slowly(weather: &Weather, random: &mut Random, draw: &mut Draw<'_>) -> std::io::Result<()> {
    let mut socket = connect(weather)?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(4096)?;
    socket.write_all(&draw(random, Size::Long).bytes())?;
    let until = Instant::now() + Duration::from_millis(random.between(200, HOLD_MAX.as_millis() as u64));
    let mut piece = [0; 16];
    while Instant::now() < until && !weather.is_calm() {
        if socket.read(&mut piece)? == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    end(socket, random);
    Ok(())
}

/// Many connections with many requests on each, and no answer is read.
fn flood(weather: &Weather, random: &mut Random, draw: &mut Draw<'_>) -> std::io::Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..random.between(1, FLOOD.0) {
        let mut socket = connect(weather)?;
        for _ in 0..random.between(1, FLOOD.1) {
            socket.write_all(&draw(random, Size::Short).bytes())?;
        }
        sockets.push(socket);
    }
    std::thread::sleep(Duration::from_millis(random.between(0, 100)));
    sockets.into_iter().for_each(|socket| end(socket, random));
    Ok(())
}

/// What is no request, or nearly one. None of it has a route, so that none of it is in the books.
fn rubbish(weather: &Weather, random: &mut Random) -> std::io::Result<()> {
    const NEARLY: [&str; 10] = [
        "GET /rubbish HTTP/1.1\r\n\r\n",
        "GET /rubbish HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "POST /rubbish HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /rubbish HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "POST /rubbish HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /rubbish HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n",
        "GET http://[::1 HTTP/1.1\r\nhost: a\r\n\r\n",
        "\r\n\r\n\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}",
    ];
    let mut socket = connect(weather)?;
    if random.percent(50) {
        let bytes: Vec<u8> = (0..random.between(1, 2_000)).map(|_| random.next() as u8).collect();
        socket.write_all(&bytes)?;
    } else {
        socket.write_all(NEARLY[random.between(0, NEARLY.len() as u64 - 1) as usize].as_bytes())?;
    }
    let _ = socket.read(&mut [0; 4096]);
    end(socket, random);
    Ok(())
}
