/// Why a head is refused. Every rule of what a head may be stands here, with its source.
///
/// For a request [`status`](HeadFault::status) is the answer to give before the connection is closed; for a
/// response the same faults mean 502 and that the upstream connection is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadFault {
    /// A line ends in LF without CR. RFC 9112 section 2.2 lets a recipient take it; those who do and those
    /// who do not see different messages, so it is refused. Also more than two empty lines before a request
    /// line ("SHOULD ignore at least one empty line (CRLF)"), or one that is not CRLF.
    LineEnd,
    /// Not `method SP request-target SP HTTP-version CRLF` with single spaces (RFC 9112 section 3: an invalid
    /// request-line SHOULD be answered with 400), a bare CR in it (section 2.2: "MUST consider that element
    /// to be invalid"), or an HTTP-name that is not exactly `HTTP` (section 2.3: it is case-sensitive).
    RequestLine,
    /// Not `HTTP-version SP 3DIGIT SP [reason] CRLF` (RFC 9112 section 4; the SP before an absent reason may
    /// be absent too), or a status outside 100..=599, which RFC 9110 section 15 calls invalid. An empty line
    /// before it is not tolerated: only a server should ignore one (RFC 9112 section 2.2).
    StatusLine,
    /// Neither HTTP/1.0 nor HTTP/1.1 (RFC 9110 section 15.6.6). This includes the preface of HTTP/2.
    Version,
    /// CONNECT: tollgate opens no tunnels (RFC 9110 section 9.1: "SHOULD respond with the 501").
    Connect,
    /// The target is neither origin-form, nor absolute-form of http or https, nor `*` with OPTIONS (RFC 9112
    /// section 3.2); or it holds a byte that RFC 3986 section 2 does not know, or a fragment, which is never
    /// sent (RFC 9110 section 7.1); or its authority has userinfo, which RFC 9110 section 4.2.4 says to treat
    /// as an error, or no valid host.
    Target,
    /// The target is longer than the limit (RFC 9112 section 3: "MUST respond with a 414"), or the request
    /// line alone exceeds the limit of the head.
    TargetTooLong,
    /// The head is longer than the limit (RFC 6585 section 5, RFC 9110 section 5.4).
    HeadTooLarge,
    /// More header lines than the limit (RFC 6585 section 5, RFC 9110 section 5.4).
    TooManyHeaders,
    /// A name that is empty or no token (RFC 9110 section 5.6.2), whitespace before the colon (RFC 9112
    /// section 5.1: "MUST reject"), a line without colon, or a folded line (section 5.2: "MUST either reject
    /// ... or replace").
    HeaderName,
    /// A control byte in a value, bare CR among them (RFC 9110 section 5.5: "invalid and dangerous").
    HeaderValue,
    /// No `Host` in HTTP/1.1 (RFC 9112 section 3.2: "MUST respond with a 400").
    HostMissing,
    /// More than one `Host` line (same sentence).
    HostRepeated,
    /// A `Host` that is no `host[:port]` (same sentence), or an empty one (RFC 9110 section 4.2.1: "MUST
    /// reject" an http URI with an empty host).
    HostInvalid,
    /// A `Content-Length` that is not 1*DIGIT, or does not fit 64 bits (RFC 9112 section 6.3 item 5: "MUST
    /// treat it as an unrecoverable error").
    LengthInvalid,
    /// Several `Content-Length` lines or a list of them. RFC 9110 section 8.6 allows to accept equal ones;
    /// who sends them has been confused by somebody already.
    LengthRepeated,
    /// `Content-Length` together with `Transfer-Encoding` (RFC 9112 section 6.3 item 3: "ought to be handled
    /// as an error").
    LengthAndCoding,
    /// `Transfer-Encoding` in HTTP/1.0 (RFC 9112 section 6.1: "MUST treat the message as if the framing is
    /// faulty").
    CodingInOldVersion,
    /// `Transfer-Encoding` whose final coding is not `chunked`, or that has `chunked` twice, parameters on
    /// it, or no proper list (RFC 9112 section 6.3 item 4: "MUST respond with the 400"; section 7.1).
    CodingInvalid,
    /// Another transfer coding under the final `chunked` (RFC 9112 section 6.1: "SHOULD respond with 501").
    CodingUnknown,
    /// More connection options than any honest sender has; each of them names a header to remove (RFC 9110
    /// section 7.6.1), which is work.
    ConnectionOptions,
}

impl HeadFault {
    /// The status to refuse a request with: 400, 414, 431, 501 or 505.
    pub const fn status(self) -> u16 {
        self.rule().0
    }

    /// What is wrong, for a person, without the peer's bytes.
    pub const fn reason(self) -> &'static str {
        self.rule().1
    }

    const fn rule(self) -> (u16, &'static str) {
        match self {
            HeadFault::LineEnd => (400, "lines must end in CRLF and no empty line may precede the head"),
            HeadFault::RequestLine => (400, "malformed request line"),
            HeadFault::StatusLine => (400, "malformed status line"),
            HeadFault::Version => (505, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
            HeadFault::Connect => (501, "CONNECT is not supported"),
            HeadFault::Target => (400, "invalid request target"),
            HeadFault::TargetTooLong => (414, "request target is too long"),
            HeadFault::HeadTooLarge => (431, "head is too large"),
            HeadFault::TooManyHeaders => (431, "too many header lines"),
            HeadFault::HeaderName => (400, "invalid header name, or a folded header line"),
            HeadFault::HeaderValue => (400, "control byte in a header value"),
            HeadFault::HostMissing => (400, "Host is missing"),
            HeadFault::HostRepeated => (400, "Host is repeated"),
            HeadFault::HostInvalid => (400, "Host is not a host with an optional port"),
            HeadFault::LengthInvalid => (400, "Content-Length is not a number of bytes"),
            HeadFault::LengthRepeated => (400, "Content-Length is repeated"),
            HeadFault::LengthAndCoding => (400, "Content-Length together with Transfer-Encoding"),
            HeadFault::CodingInOldVersion => (400, "Transfer-Encoding in HTTP/1.0"),
            HeadFault::CodingInvalid => (400, "Transfer-Encoding does not end in a single chunked"),
            HeadFault::CodingUnknown => (501, "transfer coding other than chunked"),
            HeadFault::ConnectionOptions => (400, "too many connection options"),
        }
    }
}

impl std::fmt::Display for HeadFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for HeadFault {}
