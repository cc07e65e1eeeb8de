//! Content codings of answers (RFC 9110, section 8.4): what a provider, or a box before it, compresses them with.

#[cfg(feature = "codings")]
mod encode;

#[cfg(feature = "codings")]
pub use encode::encode;

/// A content coding. The word in parentheses is the textual form, for `Script::set` and `x-sim-coding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952 (`gzip`).
    Gzip,
    /// `deflate` as RFC 9110 has it: in zlib's frame (`deflate`).
    Deflate,
    /// `deflate` as some servers send it: without a frame (`bare-deflate`).
    BareDeflate,
    /// RFC 7932 (`br`).
    Brotli,
    /// RFC 8878 (`zstd`).
    Zstd,
    /// One that nobody knows, and nobody can read without knowing it: every bit is the other way round (`x-flip`).
    Flip,
}

impl Coding {
    /// All of them.
    pub const ALL: [Coding; 6] =
        [Coding::Gzip, Coding::Deflate, Coding::BareDeflate, Coding::Brotli, Coding::Zstd, Coding::Flip];

    /// Its name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate | Coding::BareDeflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Flip => "x-flip",
        }
    }

    /// Its word in a script.
    pub fn word(self) -> &'static str {
        match self {
            Coding::BareDeflate => "bare-deflate",
            coding => coding.name(),
        }
    }
}

/// The value of `Content-Encoding` for codings in the order in which they were applied.
pub fn content_encoding(codings: &[Coding]) -> String {
    let names: Vec<&str> = codings.iter().map(|coding| coding.name()).collect();
    names.join(", ")
}
