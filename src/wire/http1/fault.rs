use super::strictness::HEADS;

/// Why a head is refused. Every rule of what a head may be stands here at length; the table of them, with sources and
/// answers, is [`HEADS`](super::strictness::HEADS).
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
    /// An absolute target of https on a connection in the clear (RFC 9110 section 7.4: "MUST be rejected unless it has
    /// been received over a connection that has been secured").
    Insecure,
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
    /// A name of framing or forwarding with `_` in the place of `-`, in a request: `Content_Length`, `X_Forwarded_For`.
    /// Whoever hands headers on as variables (RFC 3875 section 4.1.18) cannot tell it from the real one.
    Disguised,
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
    /// `Connection` names `Content-Length`, `Transfer-Encoding` or `Host` (RFC 9110 section 7.6.1: "MUST NOT send a
    /// connection option corresponding to a field that is intended for all recipients"). Those who remove what it
    /// names before they look for the body's end find another end.
    ConnectionOption,
    /// More than one `Authorization` line in a request (RFC 9110 section 5.3: "MUST NOT generate multiple field lines
    /// with the same name" unless it is a list): who is let in by one must not be served by the other.
    CredentialsRepeated,
    /// An `Expect` of HTTP/1.1 with another member than `100-continue` (RFC 9110 section 10.1.1: "MAY respond with a 417
    /// (Expectation Failed)"). It would not be passed on, so nobody could meet it.
    Expectation,
    /// TRACE with a body (RFC 9110 section 9.3.8: "MUST NOT send content in a TRACE request"). Servers that reflect it
    /// unread would take the body for the next request.
    TraceContent,
    /// An interim response with `Transfer-Encoding`, or with a `Content-Length` that is not 0 (RFC 9110 section 8.6, RFC
    /// 9112 section 6.1: both "MUST NOT"). What follows could be its body or the answer.
    InterimContent,
    /// A 101 (RFC 9110 section 7.8: "MUST NOT switch to a protocol that was not indicated by the client"): tollgate
    /// never asks for another protocol.
    Switched,
    /// More interim responses than anybody needs.
    InterimFlood,
}

impl HeadFault {
    /// The status to refuse a request with: 400, 414, 417, 421, 431, 501 or 505.
    pub const fn status(self) -> u16 {
        HEADS[self as usize].status
    }

    /// What is wrong, for a person, without the peer's bytes.
    pub const fn reason(self) -> &'static str {
        HEADS[self as usize].reason
    }
}

impl std::fmt::Display for HeadFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for HeadFault {}
