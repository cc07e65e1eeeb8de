use crate::base::Secret;
use crate::llm::price::Rates;
use crate::route::failover::Ejection;
use crate::wire::http1::{ChunkLimits, HeadLimits};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What the process needs to know about itself; every value has a default that suits a 2-core edge host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Threads.
    pub workers: Workers,
    /// The io_uring of each worker.
    pub ring: Ring,
    /// Client connections.
    pub connections: Connections,
    /// What becomes of requests when there are too many.
    pub admission: Admission,
    /// Bounds of one request.
    pub requests: Requests,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// Connections to providers.
    pub upstream: Upstream,
    /// The admin endpoint.
    pub admin: Admin,
    /// One record per exchange.
    pub records: Records,
    /// Trust in providers' certificates.
    pub tls: Tls,
    /// Accounts, leases, reservations, and where balances are kept.
    pub limits: Limits,
    /// What becomes of requests that have no price.
    pub prices: Prices,
    /// How another process takes this one's place.
    pub upgrade: Upgrade,
    /// Rights of the process.
    pub process: Process,
    /// How passwords of callers are judged.
    pub passwords: Passwords,
}

/// `workers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Number of workers, 1 to 256; `None` is one per core that the process may use.
    pub cores: Option<u16>,
    /// Whether each worker is pinned to its core.
    pub pin: bool,
}

/// `ring`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Entries of the submission queue: a power of two, 64 to 32768.
    pub submission_entries: u32,
    /// Entries of the completion queue: a power of two, at least `submission_entries`, at most 65536.
    pub completion_entries: u32,
    /// Buffers that the kernel fills: a power of two, 16 to 32768.
    pub receive_buffers: u16,
    /// Bytes of each, 4 KiB to 1 MiB.
    pub receive_buffer_bytes: u32,
    /// Bytes that may wait in memory for the reader of one connection before receiving stops.
    pub inbox_bytes: u32,
}

/// `connections`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// The most client connections of one worker, 1 to 1000000.
    pub per_worker: u32,
    /// The most TLS handshakes of one worker that are under way, 1 to 1000000: a bound on what clients cost that have
    /// not said anything yet. They wait for the client most of the time, `timeouts.handshake` at most.
    pub handshakes_per_worker: u32,
    /// The most client connections of one worker that come from one address, 1 to 1000000; `None` is as many as there may be
    /// at all, which suits a host behind a balancer. Addresses of IPv6 are told apart by their first 64 bits.
    pub per_address: Option<u32>,
    /// Bytes of an answer that the kernel holds for one client, 64 KiB to 64 MiB, which it doubles for its own bookkeeping;
    /// `None` leaves them to it, which goes up to 4 MiB (`tcp_wmem`), so that a few hundred clients who do not read use up the
    /// memory that all connections of the host share (`tcp_mem`). At 100 ms of round trip 256 KiB are 20 Mbit/s for one
    /// connection.
    pub send_buffer: Option<u32>,
}

/// `admission`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// How long what has arrived may wait for its worker, 20 ms to 10 s, before requests are given up by the priority of their
    /// routes; `None` gives none up. See [`Pressure`](crate::route::Pressure).
    pub lag: Option<Duration>,
}

/// `requests`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    /// The largest head in bytes, 1 KiB to 65535; the most header lines, 8 to 100; the longest target in bytes, 256 to 65535.
    pub heads: HeadLimits,
    /// Of a chunked body: bytes of extensions, up to 64 KiB; the most trailers, up to 1000; bytes of them all, 64 to 64 KiB.
    pub chunks: ChunkLimits,
    /// The largest body in bytes, 1 KiB to 1 GiB.
    pub body_bytes: u64,
    /// The most bytes of bodies, events and windows that the exchanges of one worker hold in memory, all together and beyond
    /// what each connection keeps anyway, 1 MiB to 1 TiB. Requests may have three quarters of it, so that answers, which are
    /// paid for, find room.
    pub held_bytes: u64,
}

/// `timeouts`; each above zero, at most 24 h.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// From the end of the head to the end of the body.
    pub body: Duration,
    /// A client connection without a request.
    pub idle: Duration,
    /// Connecting to a provider.
    pub connect: Duration,
    /// From the request sent to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub stream_idle: Duration,
    /// The whole exchange, where the route names no timeout of its own.
    pub request: Duration,
    /// A TLS handshake.
    pub handshake: Duration,
    /// Reading what a client still sends before its connection is closed after an early answer.
    pub linger: Duration,
    /// Finishing open exchanges when the process is asked to end.
    pub drain: Duration,
    /// How much of that a client connection without a request is left open: one may be on its way.
    pub drain_idle: Duration,
}

/// `upstream`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The most idle connections that one worker keeps, all targets together; 0 keeps none.
    pub idle_per_worker: u32,
    /// How long each is kept.
    pub idle: Duration,
    /// Bounds of an answer's head, as those of requests. It has no target.
    pub heads: HeadLimits,
    /// Of a chunked answer, as of requests.
    pub chunks: ChunkLimits,
    /// The most interim answers (1xx) before one answer, 0 to 1000; one more is malformed.
    pub interim_answers: u32,
    /// Bytes of an answer that the kernel takes from a provider for a reader that does not come, 64 KiB to 64 MiB, doubled as
    /// those of `connections.send_buffer` are; `None` leaves them to it, which goes up to 6 MiB and more (`tcp_rmem`).
    pub receive_buffer: Option<u32>,
    /// The most bytes of a body that is kept, while it is translated, for another attempt; a longer one is sent once. Bodies
    /// that are not translated need no copy.
    pub replay_bytes: usize,
    /// When an endpoint that fails is left alone.
    pub ejection: Ejection,
}

/// `admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where metrics and state are served; `None` serves them nowhere.
    pub address: Option<AdminAddress>,
    /// What a request must carry as `Authorization: Bearer` to change anything, 16 to 256 visible ASCII
    /// characters; without it nothing can be changed.
    pub token: Option<Arc<Secret>>,
}

impl Admin {
    /// Whether others than this host can reach it.
    pub(crate) fn is_exposed(&self) -> bool {
        matches!(&self.address, Some(AdminAddress::Tcp(address)) if !address.ip().to_canonical().is_loopback())
    }
}

/// Where the admin endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// TCP, in the clear.
    Tcp(SocketAddr),
    /// A Unix socket of this path, for this user alone.
    Unix(String),
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AdminAddress::Tcp(address) => write!(f, "{address}"),
            AdminAddress::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// `upgrade`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// The path of the Unix socket at which a process may ask to take this one's place; `None` lets none.
    pub socket: Option<String>,
}

/// `process`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// The user that it becomes when its sockets are open; `None` stays who it is.
    pub user: Option<String>,
    /// Its group then; `None` is that of the user.
    pub group: Option<String>,
    /// Whether a crash may leave a dump of memory, with every key in it.
    pub core_dumps: bool,
}

/// `records`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// Where they go.
    pub to: RecordsTo,
    /// The most records that wait to be written, per worker, 16 to 1048576; more are dropped and counted.
    pub queue: u32,
    /// Names, in lower case, of at most 4 headers of requests that they hold. None holds a credential.
    pub headers: Vec<Arc<str>>,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordsTo {
    /// Standard output.
    Stdout,
    /// Nowhere.
    None,
    /// A file, appended to.
    File(String),
}

/// `tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whom we trust.
    pub roots: Roots,
}

/// `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most accounts, all limits together, 16 to 16000000.
    pub accounts: u32,
    /// The most open reservations of one worker, 16 to 1000000.
    pub in_flight_per_worker: u32,
    /// The most of an account that one worker's lease holds, in percent, 1 to 50.
    pub lease_share: u32,
    /// The time whose spending a lease is meant to cover, 1 to 100 ms.
    pub lease_quantum: Duration,
    /// The most tokens of output that are reserved for an answer about which nothing is known yet, 16 to
    /// 131072.
    pub output_reserve: u64,
    /// The tokens of output that a stream reserves at a time, 16 to 65536.
    pub stream_chunk: u64,
    /// After which a reservation that nobody settled frees itself, 1 s to 24 h.
    pub hold: Duration,
    /// The directory in which balances are kept; `None` keeps them nowhere.
    pub store: Option<String>,
    /// How often the balances of short limits are written down, 100 ms to 10 min.
    pub checkpoint: Duration,
}

/// `passwords`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwords {
    /// The most that wait to be judged, all workers together, 1 to 4096; one more is 503.
    pub waiting: u32,
    /// The most of one user, and the most from one address, that one worker has judged at a time, 1 to 4096; one more is 429.
    pub per_caller: u32,
    /// How long one that holds is remembered after its last use, 1 s to 24 h; one that does not for a minute at most.
    pub remember: Duration,
}

/// `prices`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// What becomes of a request whose model no list of prices has.
    pub unknown_model: UnknownModel,
}

/// What becomes of a request whose model has no price. It is counted and told in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownModel {
    /// It costs nothing.
    #[default]
    Free,
    /// It is refused before anything is sent.
    Deny,
    /// It costs this.
    At(Rates),
}

/// Certificate authorities that may vouch for a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// The system's trust store.
    #[default]
    System,
    /// The certificates in these PEM files and no others.
    Files(Vec<String>),
}

impl Default for Workers {
    fn default() -> Workers {
        Workers { cores: None, pin: true }
    }
}

impl Default for Ring {
    fn default() -> Ring {
        Ring {
            submission_entries: 4096,
            // Multishot operations complete many times per submission.
            completion_entries: 16384,
            receive_buffers: 512,
            receive_buffer_bytes: 16 << 10,
            inbox_bytes: 64 << 10,
        }
    }
}

impl Default for Connections {
    fn default() -> Connections {
        Connections {
            per_worker: 8192,
            handshakes_per_worker: 1024,
            per_address: None,
            send_buffer: Some(256 << 10),
        }
    }
}

impl Default for Admission {
    fn default() -> Admission {
        Admission { lag: Some(Duration::from_secs(1)) }
    }
}

impl Default for Requests {
    fn default() -> Requests {
        Requests {
            heads: HeadLimits::default(),
            chunks: ChunkLimits::default(),
            body_bytes: 32 << 20,
            held_bytes: 512 << 20,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let seconds = Duration::from_secs;
        Timeouts {
            head: seconds(10),
            body: seconds(60),
            idle: seconds(75),
            connect: seconds(5),
            first_byte: seconds(300),
            stream_idle: seconds(120),
            request: seconds(600),
            handshake: seconds(5),
            linger: seconds(1),
            drain: seconds(30),
            drain_idle: seconds(1),
        }
    }
}

impl Default for Upstream {
    fn default() -> Upstream {
        Upstream {
            idle_per_worker: 256,
            idle: Duration::from_secs(60),
            heads: HeadLimits::default(),
            chunks: ChunkLimits::default(),
            interim_answers: 16,
            receive_buffer: Some(256 << 10),
            replay_bytes: 4 << 20,
            ejection: Ejection::default(),
        }
    }
}

impl Default for Admin {
    fn default() -> Admin {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15000);
        Admin { address: Some(AdminAddress::Tcp(address)), token: None }
    }
}

impl Default for Records {
    fn default() -> Records {
        Records { to: RecordsTo::Stdout, queue: 8192, headers: Vec::new() }
    }
}

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords { waiting: 64, per_caller: 4, remember: Duration::from_secs(600) }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            accounts: 1_000_000,
            in_flight_per_worker: 16384,
            lease_share: 12,
            lease_quantum: Duration::from_millis(1),
            output_reserve: 1024,
            stream_chunk: 256,
            hold: Duration::from_secs(3600),
            store: None,
            checkpoint: Duration::from_secs(1),
        }
    }
}
