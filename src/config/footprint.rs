//! The most memory that a process with some settings can take: every bound times what stands behind it, summed in the open.

use super::settings::Settings;
use std::fmt;

/// What a connection of a client takes besides its buffers: its socket here, its task, the state of the exchange in it with
/// its record.
const CONNECTION: u64 = 24 << 10;
/// Buffers that a connection keeps from exchange to exchange: of the request, of the head that goes out, of the answer, and
/// of small texts, each of at most so much.
const KEPT_BUFFER: u64 = 32 << 10;
const KEPT_BUFFERS: u64 = 4 * KEPT_BUFFER;
/// TLS: what rustls holds of records that are not whole, and of plain text that is not taken.
const TLS: u64 = 48 << 10;
/// A connection to a provider: its socket here, its place in a pool.
const UPSTREAM: u64 = 2 << 10;
/// A handshake that is under way beside its connection: the transcript and the messages of the client.
const HANDSHAKE: u64 = 64 << 10;
/// An open reservation, of up to four limits.
const RESERVATION: u64 = 256;
/// An account with its key (measured: 186 bytes), and its overheads in a table that has just grown.
const ACCOUNT: u64 = 400;
/// A record that waits to be written.
const RECORD: u64 = 2 << 10;
/// What a worker knows of tokens of callers, models and routes: 2,048 tokens of up to 16 KiB.
const KNOWN: u64 = 2048 * (16 << 10);
/// Copies of requests for mirrors, per worker.
const MIRRORS: u64 = 64 << 20;
/// What is there without any request: the program, vocabularies of tokenizers, prices, the threads beside the workers.
const PROCESS: u64 = 96 << 20;

/// Bytes by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    workers: u64,
    /// One worker's ring and receive buffers.
    ring: u64,
    /// One worker's connections of clients.
    connections: u64,
    /// One worker's connections to providers, idle and busy.
    upstreams: u64,
    /// What one worker's exchanges hold of bodies and answers.
    held: u64,
    /// One worker's reservations, records, mirrors and what it knows.
    rest: u64,
    /// Accounts of the host.
    accounts: u64,
}

impl Footprint {
    /// Of a process with so many workers.
    pub fn of(settings: &Settings, workers: usize) -> Footprint {
        let Settings { ring, connections, requests, upstream, limits, records, .. } = settings;
        let (clients, in_flight) =
            (u64::from(connections.per_worker), u64::from(limits.in_flight_per_worker));
        // Received and not read: see `Ring::inbox_bytes`.
        let inbox = u64::from(ring.inbox_bytes) + u64::from(ring.receive_buffer_bytes);
        // A head that is being read is not one of the kept buffers yet.
        let client = CONNECTION + KEPT_BUFFERS + inbox + requests.heads.head_bytes as u64 + TLS;
        let submissions = u64::from(ring.submission_entries) * 64;
        let completions = u64::from(ring.completion_entries) * 16;
        let handshakes = u64::from(connections.handshakes_per_worker).min(clients) * HANDSHAKE;
        // A connection has one exchange at a time, and an exchange one connection to a provider.
        let busy = in_flight.min(clients);
        // An answer's head is read into a buffer that is kept, and grows as far as it must. Trailers wait for the body's end.
        let head = (upstream.heads.head_bytes as u64).saturating_sub(KEPT_BUFFER);
        let trailers = u64::from(requests.chunks.trailer_bytes) + u64::from(upstream.chunks.trailer_bytes);
        Footprint {
            workers: workers as u64,
            ring: submissions
                + completions
                + u64::from(ring.receive_buffers) * u64::from(ring.receive_buffer_bytes),
            connections: clients * client + handshakes,
            upstreams: (busy + u64::from(upstream.idle_per_worker)) * (UPSTREAM + inbox + TLS)
                + busy * (head + trailers),
            held: requests.held_bytes,
            rest: in_flight * RESERVATION + u64::from(records.queue) * RECORD + MIRRORS + KNOWN,
            accounts: u64::from(limits.accounts) * ACCOUNT,
        }
    }

    /// All of it, in bytes.
    pub fn total(&self) -> u64 {
        let worker = self.ring + self.connections + self.upstreams + self.held + self.rest;
        self.workers * worker + self.accounts + PROCESS
    }
}

/// `7.1 GiB at most: 2 workers with ...`
impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.workers == 1 { "" } else { "s" };
        write!(
            f,
            "{} at most: {} worker{plural} with {} of connections, {} to providers, {} of bodies and answers, {} of rings, {} \
             of records, mirrors and reservations each; {} of accounts; {} of the process itself",
            Size(self.total()),
            self.workers,
            Size(self.connections),
            Size(self.upstreams),
            Size(self.held),
            Size(self.ring),
            Size(self.rest),
            Size(self.accounts),
            Size(PROCESS),
        )
    }
}

/// Bytes for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        match self.0 {
            bytes if bytes >= 1 << 30 => write!(f, "{:.1} GiB", bytes as f64 / (1u64 << 30) as f64),
            bytes => write!(f, "{} MiB", bytes.div_ceil(MIB)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_counts_once_for_each_worker() {
        let mut settings = Settings::default();
        let before = Footprint::of(&settings, 2).total();
        settings.requests.held_bytes += 10 << 20;
        assert_eq!(Footprint::of(&settings, 2).total() - before, 20 << 20);
        settings.connections.per_worker += 1;
        let per_connection =
            Footprint::of(&settings, 1).connections - Footprint::of(&Settings::default(), 1).connections;
        assert_eq!(per_connection, CONNECTION + KEPT_BUFFERS + (80 << 10) + (32 << 10) + TLS);
        let one = Footprint::of(&settings, 1).total();
        assert_eq!(
            Footprint::of(&settings, 3).total() - one,
            2 * (Footprint::of(&settings, 2).total() - one)
        );
    }

    #[test]
    fn it_is_told_with_its_parts() {
        let told = Footprint::of(&Settings::default(), 2).to_string();
        assert!(told.contains("GiB at most: 2 workers with 2.5 GiB of connections"), "{told}");
        assert!(told.contains("512 MiB of bodies and answers"), "{told}");
    }
}
