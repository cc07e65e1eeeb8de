//! HTTP/1.1 framing (RFC 9112) as values, on httparse's tokens.
//!
//! A head is parsed once, into spans of the caller's buffer; [`HeadScan`] looks for its end in new bytes.
//! Then a [`BodyReader`], made from the head's [`Framing`], says which of the bytes that follow are payload.
//! [`mod@write`] makes heads and chunks. Nothing here allocates for a message without trailers, apart from a
//! head's list of lines, which the next head takes over, and the `Vec` that the caller hands to [`mod@write`].
//!
//! ```
//! use tollgate::wire::http1::{BodyReader, HeadLimits, HeadScan};
//!
//! let arrived = b"POST /v1/messages HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n{}";
//! let mut scan = HeadScan::default();
//! let head = scan.request(arrived, &HeadLimits::default())?.expect("the head is complete");
//! assert_eq!(head.path_of(arrived), b"/v1/messages");
//!
//! let rest = &arrived[head.len..];
//! let mut body = BodyReader::new(head.framing, 1 << 20).expect("the length is within the limit");
//! let progress = body.read(rest, |span| assert_eq!(span.of(rest), b"{}")).expect("well-formed");
//! assert!(progress.done);
//! # Ok::<(), tollgate::wire::http1::HeadFault>(())
//! ```
//!
//! What is refused and what is taken stands in tables, in [`strictness`]. The rules are stricter than RFC 9112 asks,
//! because a proxy and the server behind it must never disagree about where a message ends (section 11.2).

mod body;
mod extension;
mod fault;
mod framing;
mod head;
mod headers;
mod known;
mod method;
mod request;
mod response;
pub mod strictness;
mod trailers;
pub mod write;

pub use body::{BodyFault, BodyReader, ChunkLimits, Progress};
pub use fault::HeadFault;
pub use framing::Framing;
pub use head::{HeadLimits, HeadScan, MAX_HEAD_BYTES, Version, request, response};
pub use headers::{Header, Headers, MAX_HEADERS};
pub use known::Known;
pub use method::Method;
pub use request::RequestHead;
pub use response::ResponseHead;

#[cfg(test)]
mod tests;
