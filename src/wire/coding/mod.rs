//! Content codings (RFC 9110 section 8.4): what a body is compressed with, and how that is undone.
//!
//! [`Codings`] is what a `Content-Encoding` says, [`Accepts`] what an `Accept-Encoding` allows. A [`Decoder`] undoes a
//! list of codings while the bytes arrive, however they were cut, and gives what it decodes in small pieces. Whatever
//! a peer can make grow has a bound:
//!
//! | what | bound |
//! |---|---|
//! | codings of one body | [`CODINGS_MAX`] |
//! | window of `gzip` and `deflate` | 32 KiB, which is the format's own (RFC 1951) |
//! | window of `br` | 16 MiB, which is the format's own (RFC 7932); large windows, an extension, are refused |
//! | window of `zstd` | 8 MiB (RFC 9659) |
//! | a decoded piece | [`PIECE_BYTES`], one for each coding |
//! | decoded bytes, of each coding | [`FREE_BYTES`], and [`EXPANSION_MAX`] for each byte received |
//!
//! ```
//! use tollgate::wire::coding::{Codings, Decoder, PIECE_BYTES};
//! use tollgate::wire::http1::{HeadLimits, Method, response};
//!
//! let arrived = b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 6\r\n\r\n\x01\x01\x00\xfe\xff!";
//! let head = response(arrived, &HeadLimits::default(), Method::Get)?.expect("the head is complete");
//! let codings = Codings::of(&head.headers, arrived).expect("it is known");
//! let mut decoder = Decoder::new(&codings).expect("it is not identity");
//!
//! let mut rest = &arrived[head.len..];
//! assert_eq!(decoder.next(&mut rest, PIECE_BYTES), Ok(Some(&b"!"[..])));
//! assert_eq!(decoder.next(&mut rest, PIECE_BYTES), Ok(None));
//! assert_eq!(decoder.finish(), Ok(()));
//! # Ok::<(), tollgate::wire::http1::HeadFault>(())
//! ```

mod accept;
mod brotli;
mod decoder;
mod deflate;
mod gzip;
#[cfg(test)]
mod tests;
mod zstd;

use super::http1::{Headers, Known};
use crate::base::ascii;
use arrayvec::ArrayVec;

pub use accept::Accepts;
pub use decoder::{Decoder, EXPANSION_MAX, FREE_BYTES, PIECE_BYTES};

/// The most codings that one body may have; more are met in no honest one.
pub const CODINGS_MAX: usize = 4;

/// All codings that can be undone, as `Accept-Encoding` lists them.
pub const SUPPORTED: &str = "gzip, deflate, br, zstd";

/// A content coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `gzip`, and `x-gzip`, which is the same (RFC 9110 section 8.4.1.3); RFC 1952.
    Gzip,
    /// `deflate`: the zlib format (RFC 1950), or what some servers send instead, bare deflate (RFC 1951).
    Deflate,
    /// `br`: Brotli (RFC 7932).
    Brotli,
    /// `zstd`: Zstandard (RFC 8878), with the windows that RFC 9659 allows.
    Zstd,
}

impl Coding {
    /// All of them.
    pub const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

    /// The coding of this name, in any case (RFC 9110 section 8.4.1).
    pub fn of(name: &[u8]) -> Option<Coding> {
        let name = if name.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { name };
        Coding::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }
}

/// The codings of one body, in the order in which they were applied; empty when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codings(ArrayVec<Coding, CODINGS_MAX>);

/// A body has a coding that cannot be undone, or more than [`CODINGS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCoding;

impl Codings {
    /// What `Content-Encoding` says in a head that was parsed from `buf`. `identity` is nothing.
    ///
    /// # Errors
    /// [`UnknownCoding`], when one of them is unknown or they are too many.
    pub fn of(headers: &Headers, buf: &[u8]) -> Result<Codings, UnknownCoding> {
        let mut codings = Codings::default();
        for value in headers.all(Known::ContentEncoding) {
            for name in ascii::list(value.of(buf)).filter(|name| !name.eq_ignore_ascii_case(b"identity")) {
                let coding = Coding::of(name).ok_or(UnknownCoding)?;
                codings.0.try_push(coding).map_err(|_| UnknownCoding)?;
            }
        }
        Ok(codings)
    }

    /// Them, first applied first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Coding> + '_ {
        self.0.iter().copied()
    }
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodingFault {
    /// It is not what its coding promises, or a checksum is wrong.
    Corrupt,
    /// It ends before its coding does.
    Truncated,
    /// It goes on after the end of its coding.
    Trailing,
    /// Decoding wants a window that is larger than the bound.
    Window,
    /// It expands beyond the bound.
    Expansion,
    /// There is no memory to decode it with.
    Memory,
}

impl CodingFault {
    /// What is wrong, for a person.
    pub const fn reason(self) -> &'static str {
        match self {
            CodingFault::Corrupt => "its compressed data is corrupt",
            CodingFault::Truncated => "its compressed data ends too early",
            CodingFault::Trailing => "its compressed data goes on after its end",
            CodingFault::Window => "its compressed data wants a window of more than 8 MiB",
            CodingFault::Expansion => "its compressed data expands beyond all bounds",
            CodingFault::Memory => "there is no memory to decompress it",
        }
    }
}

impl std::fmt::Display for CodingFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for CodingFault {}
