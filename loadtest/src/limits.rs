//! Every bound of the simulator, in the open.
//!
//! A connection holds at most `HEAD_BYTES_MAX` + `PENDING_BYTES_MAX` + its body (script's `body_limit`) of input and
//! `OUTPUT_HIGH_WATER` + one event of output. With `CONNECTIONS_MAX` idle connections that is a few MiB, because
//! buffers that grew are given back when a request ends (`BUFFER_KEPT_MAX`).

use std::time::Duration;

/// Connections open at a time; beyond it the listener rests until one closes.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Longest request head, line ends included.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header lines in a head.
pub const HEADERS_MAX: usize = 100;
/// Bytes received and not yet looked at (pipelined requests); beyond it the socket is not read.
pub const PENDING_BYTES_MAX: usize = 128 * 1024;
/// Longest chunk-size line, extensions included, and longest trailer section of a chunked body.
pub const CHUNK_LINE_MAX: usize = 4 * 1024;
/// Output produced and not yet taken by the kernel; beyond it nothing more is produced.
pub const OUTPUT_HIGH_WATER: usize = 256 * 1024;
/// How often in a row one connection may fill its output before the others have their turn: 4 MiB.
pub const FILLINGS_PER_TURN: u32 = 16;
/// Capacity that a connection's buffers keep from one request to the next.
pub const BUFFER_KEPT_MAX: usize = 512 * 1024;
/// Requests remembered by [`crate::Simulator::requests`].
pub const SEEN_REQUESTS_MAX: usize = 1_024;
/// Body bytes remembered with them; the oldest requests go first.
pub const SEEN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Answers kept by the journal until they are taken: about 100 MiB.
pub const ANSWERS_MAX: usize = 1_000_000;
/// Distinct reasons kept for malformed requests and protocol faults.
pub const REASONS_MAX: usize = 64;
/// Content events in one stream.
pub const CHUNKS_MAX: u32 = 100_000;
/// Bytes of text in one answer.
pub const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a connection that the simulator has shut down waits for the other side to close.
pub const LINGER: Duration = Duration::from_secs(2);
/// How long the listener rests after the kernel refused to accept (no file descriptors left).
pub const ACCEPT_REST: Duration = Duration::from_millis(10);
