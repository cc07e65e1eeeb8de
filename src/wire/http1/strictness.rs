//! What is refused and what is taken, in tables: the rule, its source, the answer.
//!
//! A proxy and the server behind it must never disagree about where a message ends (RFC 9112 section 11.2), and
//! every tolerance is a chance to disagree. So what RFC 9110 and RFC 9112 allow a recipient to repair is refused
//! here, and what remains is passed on in one form, framed anew.
//!
//! * [`HEADS`] and [`BODIES`]: what a head or a body is refused for. A request gets the status and the reason of its
//!   rule, its connection closes, and no byte behind it is read as a request. What is refused by its head has not
//!   reached anybody; a body that goes wrong in its middle never becomes a whole request upstream.
//! * The same rules hold for answers. Then the client gets a 502 with the reason, or, if the answer's beginning went
//!   out already, a connection that is cut before the end that its framing promised; a client of HTTP/1.0, whose
//!   answer may end with it, sees it reset. The connection to the provider is not used again.
//! * [`PATHS`]: paths with two meanings. The message is well-formed, so its connection goes on.
//! * [`TAKEN`]: what could be refused and is not, and how it goes on.
//!
//! [`HeadFault`] and [`BodyFault`] say the reasons at length. `tests/http1.rs` has rows for every line of these tables,
//! and fails when a rule has none or a row names no rule.

use super::{BodyFault, HeadFault};
use crate::wire::url::PathFault;

/// A rule, and what whoever breaks it is told.
#[derive(Clone, Copy, Debug)]
pub struct Rule<F> {
    /// What was done.
    pub fault: F,
    /// Where it is forbidden, or where it is said that it may be refused.
    pub source: &'static str,
    /// The status that a request is refused with.
    pub status: u16,
    /// What is wrong, for a person, without the peer's bytes.
    pub reason: &'static str,
}

/// Something that is taken although a recipient could refuse it, or that is often done otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Its name in the tests.
    pub name: &'static str,
    /// Where it is allowed.
    pub source: &'static str,
    /// How it goes on.
    pub what: &'static str,
}

const fn head(fault: HeadFault, source: &'static str, status: u16, reason: &'static str) -> Rule<HeadFault> {
    Rule { fault, source, status, reason }
}

const fn body(fault: BodyFault, source: &'static str, status: u16, reason: &'static str) -> Rule<BodyFault> {
    Rule { fault, source, status, reason }
}

const fn path(fault: PathFault, source: &'static str) -> Rule<PathFault> {
    Rule { fault, source, status: 400, reason: fault.reason() }
}

const fn taken(name: &'static str, source: &'static str, what: &'static str) -> Tolerance {
    Tolerance { name, source, what }
}

/// What a head is refused for, in the order of [`HeadFault`].
#[rustfmt::skip]
pub const HEADS: [Rule<HeadFault>; HeadFault::InterimFlood as usize + 1] = [
    head(HeadFault::LineEnd, "RFC 9112 section 2.2", 400, "lines must end in CRLF and no empty line may precede the head"),
    head(HeadFault::RequestLine, "RFC 9112 sections 2.2, 2.3, 3", 400, "malformed request line"),
    head(HeadFault::StatusLine, "RFC 9112 section 4, RFC 9110 section 15", 400, "malformed status line"),
    head(HeadFault::Version, "RFC 9110 sections 2.5, 15.6.6", 505, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
    head(HeadFault::Connect, "RFC 9110 sections 9.1, 9.3.6", 501, "CONNECT is not supported"),
    head(HeadFault::Target, "RFC 9112 section 3.2, RFC 9110 sections 4.2.4, 7.1", 400, "invalid request target"),
    head(HeadFault::Insecure, "RFC 9110 section 7.4", 421, "an https target on a connection in the clear: this is no proxy, give its address as that of the API"),
    head(HeadFault::TargetTooLong, "RFC 9112 section 3", 414, "request target is too long"),
    head(HeadFault::HeadTooLarge, "RFC 9110 section 5.4, RFC 6585 section 5", 431, "head is too large"),
    head(HeadFault::TooManyHeaders, "RFC 9110 section 5.4, RFC 6585 section 5", 431, "too many header lines"),
    head(HeadFault::HeaderName, "RFC 9112 sections 5.1, 5.2, RFC 9110 section 5.1", 400, "invalid header name, or a folded header line"),
    head(HeadFault::HeaderValue, "RFC 9110 section 5.5", 400, "control byte in a header value"),
    head(HeadFault::Disguised, "RFC 3875 section 4.1.18", 400, "a header name of framing or forwarding with an underscore for a dash"),
    head(HeadFault::HostMissing, "RFC 9112 section 3.2", 400, "Host is missing"),
    head(HeadFault::HostRepeated, "RFC 9112 section 3.2", 400, "Host is repeated"),
    head(HeadFault::HostInvalid, "RFC 9112 section 3.2, RFC 9110 section 4.2.1", 400, "Host is not a host with an optional port"),
    head(HeadFault::LengthInvalid, "RFC 9112 section 6.3 item 5", 400, "Content-Length is not a number of bytes"),
    head(HeadFault::LengthRepeated, "RFC 9110 section 8.6", 400, "Content-Length is repeated"),
    head(HeadFault::LengthAndCoding, "RFC 9112 section 6.3 item 3", 400, "Content-Length together with Transfer-Encoding"),
    head(HeadFault::CodingInOldVersion, "RFC 9112 section 6.1", 400, "Transfer-Encoding in HTTP/1.0"),
    head(HeadFault::CodingInvalid, "RFC 9112 sections 6.3 item 4, 7.1", 400, "Transfer-Encoding does not end in a single chunked"),
    head(HeadFault::CodingUnknown, "RFC 9112 section 6.1", 501, "transfer coding other than chunked"),
    head(HeadFault::ConnectionOptions, "RFC 9110 section 7.6.1", 400, "too many connection options"),
    head(HeadFault::ConnectionOption, "RFC 9110 section 7.6.1", 400, "Connection names a header of framing or routing"),
    head(HeadFault::CredentialsRepeated, "RFC 9110 sections 5.3, 11.6.2", 400, "Authorization is repeated"),
    head(HeadFault::Expectation, "RFC 9110 section 10.1.1", 417, "only 100-continue can be expected here"),
    head(HeadFault::TraceContent, "RFC 9110 section 9.3.8", 400, "TRACE with content"),
    head(HeadFault::InterimContent, "RFC 9110 section 8.6, RFC 9112 section 6.1", 400, "an interim answer announces content"),
    head(HeadFault::Switched, "RFC 9110 section 7.8", 400, "it switches protocols, which nobody asked for"),
    head(HeadFault::InterimFlood, "RFC 9110 section 15.2", 400, "too many interim answers"),
];

/// What a body is refused for, in the order of [`BodyFault`].
#[rustfmt::skip]
pub const BODIES: [Rule<BodyFault>; BodyFault::Truncated as usize + 1] = [
    body(BodyFault::TooLarge, "RFC 9110 section 15.5.14", 413, "body is too large"),
    body(BodyFault::ChunkSize, "RFC 9112 section 7.1", 400, "invalid chunk size"),
    body(BodyFault::ChunkExtension, "RFC 9112 section 7.1.1", 400, "invalid chunk extension"),
    body(BodyFault::ExtensionsTooLarge, "RFC 9112 section 7.1.1", 400, "chunk extensions are too large"),
    body(BodyFault::ChunkEnd, "RFC 9112 section 7.1", 400, "chunk does not end where its size says"),
    body(BodyFault::Trailer, "RFC 9112 section 7.1.2", 400, "invalid trailer"),
    body(BodyFault::TrailersTooLarge, "RFC 9110 section 5.4", 400, "trailers are too large"),
    body(BodyFault::Truncated, "RFC 9112 section 8", 400, "connection closed inside the body"),
];

/// What a path is refused for. (A backslash is no byte of a target; an encoded one is an encoded slash to some.)
pub const PATHS: [Rule<PathFault>; 5] = [
    path(PathFault::DotSegment, "RFC 3986 section 5.2.4"),
    path(PathFault::EmptySegment, "RFC 3986 section 3.3"),
    path(PathFault::EncodedSlash, "RFC 3986 section 2.2"),
    path(PathFault::Nul, "RFC 3986 section 7.3"),
    path(PathFault::Escape, "RFC 3986 section 2.1"),
];

/// What is taken, and how it goes on.
#[rustfmt::skip]
pub const TAKEN: [Tolerance; 25] = [
    taken("Plain", "RFC 9112 section 2.1", "nothing special about it"),
    taken("EmptyLines", "RFC 9112 section 2.2", "up to two empty lines before a request line are dropped"),
    taken("Whitespace", "RFC 9112 section 5", "none or more around a value; written anew as one space before it"),
    taken("LeadingZeros", "RFC 9110 section 8.6, RFC 9112 section 7.1", "of a length or of a chunk size of at most 16 digits; lengths are written anew"),
    taken("ObsText", "RFC 9110 section 5.5", "bytes from 0x80 in a value, as they are"),
    taken("AnyToken", "RFC 9110 sections 5.1, 9.1", "any token is a header name or a method, methods with their case"),
    taken("Underscore", "RFC 9110 section 5.1", "names with underscores that resemble none of framing or forwarding, as they are"),
    taken("HostForms", "RFC 9110 section 7.2", "names, addresses and ports, also an empty port, as they are"),
    taken("AbsoluteForm", "RFC 9112 section 3.2.2", "its host counts and Host does not; origin-form goes on"),
    taken("OldVersion", "RFC 9112 section 3.2, RFC 9110 section 2.5", "HTTP/1.0, also without Host; HTTP/1.1 goes on"),
    taken("ContentOfAnyMethod", "RFC 9110 section 9.3.1", "a framed body of GET, HEAD, DELETE or OPTIONS goes on framed"),
    taken("NoContent", "RFC 9112 section 6.3 item 7", "a request without framing has no body, whatever its method"),
    taken("Chunked", "RFC 9112 section 7.1", "chunks are cut anew"),
    taken("ChunkExtensions", "RFC 9112 section 7.1.1", "well-formed ones are dropped"),
    taken("Trailers", "RFC 9112 section 7.1.2, RFC 9110 section 6.5.1", "go on as trailers where chunks go on, without those that a head decides by; never in a head"),
    taken("Options", "RFC 9110 section 7.6.1", "what Connection names is dropped, and so is what concerns one connection"),
    taken("MaxForwards", "RFC 9110 section 7.6.2", "of TRACE and OPTIONS goes on less one; at 0 it is answered here: OPTIONS with 200, TRACE with 501"),
    taken("Upgrade", "RFC 9110 section 7.8", "ignored and dropped"),
    taken("Continue", "RFC 9110 section 10.1.1", "100-continue is answered here and dropped"),
    taken("Interim", "RFC 9110 section 15.2", "interim answers are dropped, up to 16 unless Settings say otherwise"),
    taken("AnswerWithoutContent", "RFC 9112 section 6.3 item 1", "204, 304 and answers to HEAD have none, whatever they announce; a 204 that announces some is the last on its connection"),
    taken("UntilClose", "RFC 9112 section 6.3 item 8", "an answer may end with its connection; goes on in chunks"),
    taken("MoreThanAnnounced", "RFC 9112 section 6.3", "bytes behind an answer are dropped with the connection"),
    taken("NoReason", "RFC 9112 section 4", "a status line without reason, also without the space before it; reasons are written anew"),
    taken("EarlyAnswer", "RFC 9112 section 9.5", "an answer before the request was sent whole passes; the connection is not used again"),
];

// A rule is found by its fault.
const _: () = {
    let mut at = 0;
    while at < HEADS.len() {
        assert!(HEADS[at].fault as usize == at, "HEADS is not in the order of HeadFault");
        at += 1;
    }
    at = 0;
    while at < BODIES.len() {
        assert!(BODIES[at].fault as usize == at, "BODIES is not in the order of BodyFault");
        at += 1;
    }
};
