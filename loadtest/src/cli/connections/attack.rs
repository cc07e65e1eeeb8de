//! Attackers who hold connections: one thread drives all of them, a few bytes at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What attackers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// They send the head of a request a byte at a time, and never end it (slowloris).
    Heads,
    /// They order a long answer and read a few bytes at a time.
    Reading,
}

/// The attackers of one attack, until [`end`](Attackers::end).
pub(super) struct Attackers {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    open: AtomicU64,
    opened: AtomicU64,
}

/// Every connection has a turn so often.
const ROUND: Duration = Duration::from_millis(200);
/// In so many shares: attackers are many, and do not all send in the same moment.
const SHARES: usize = 40;
/// Connections that are opened in one round, so that it is an attack on connections and not on their making.
const OPENED_MAX: usize = 200;
/// Room for what was sent to an attacker who reads slowly.
const RECEIVE_BUFFER: usize = 4 << 10;

impl Attack {
    pub(super) fn name(self) -> &'static str {
        match self {
            Attack::Heads => "slow heads",
            Attack::Reading => "slow readers",
        }
    }

    fn open(self, port: u16, answer: u64) -> std::io::Result<TcpStream> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut socket = TcpStream::connect_timeout(&addr, Duration::from_secs(2))?;
        socket.set_nodelay(true)?;
        match self {
            Attack::Heads => {
                socket.write_all(b"POST /connections/1 HTTP/1.1\r\nhost: localhost\r\nx-slow: ")?
            }
            Attack::Reading => {
                socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
                let order = format!("GET /plain?bytes={answer} HTTP/1.1\r\nhost: localhost\r\n\r\n");
                socket.write_all(order.as_bytes())?;
            }
        }
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// A byte more; false when the connection has ended.
    fn turn(self, socket: &mut TcpStream) -> bool {
        let mut piece = [0; 8];
        if self == Attack::Heads && socket.write(b"a").is_err() {
            return false;
        }
        match socket.read(&mut piece) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

impl Attackers {
    /// Begins with `count` connections to `port`; those that are ended are opened anew. Who reads slowly orders answers of
    /// `answer` bytes.
    pub(super) fn start(attack: Attack, port: u16, count: u64, answer: u64) -> Attackers {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::spawn(move || theirs.run(attack, port, count as usize, answer));
        Attackers { shared, thread }
    }

    /// Connections that are open now.
    pub(super) fn open(&self) -> u64 {
        self.shared.open.load(SeqCst)
    }

    /// Closes all; how many were opened.
    pub(super) fn end(self) -> u64 {
        self.shared.over.store(true, SeqCst);
        let _ = self.thread.join();
        self.shared.opened.load(SeqCst)
    }
}

impl Shared {
    fn run(&self, attack: Attack, port: u16, count: usize, answer: u64) {
        let mut shares: Vec<Vec<TcpStream>> = (0..SHARES).map(|_| Vec::new()).collect();
        while !self.over.load(SeqCst) {
            let mut room = OPENED_MAX;
            for place in 0..SHARES {
                let began = Instant::now();
                let sockets = &mut shares[place];
                sockets.retain_mut(|socket| attack.turn(socket));
                let wanted = (count + place) / SHARES; // in all as many as wanted
                for _ in 0..wanted.saturating_sub(sockets.len()).min(room) {
                    let Ok(socket) = attack.open(port, answer) else { break };
                    sockets.push(socket);
                    room -= 1;
                    self.opened.fetch_add(1, SeqCst);
                }
                self.open.store(shares.iter().map(|sockets| sockets.len() as u64).sum(), SeqCst);
                std::thread::sleep((ROUND / SHARES as u32).saturating_sub(began.elapsed()));
            }
        }
    }
}
