//! Answers that tollgate makes itself: refusals in the client's format, what a route asks for; and the headers that tell
//! how limits stand.

use super::client::Client;
use super::entry::Entry;
use super::exchange::Then;
use super::fault::Fault;
use crate::config::Timeouts;
use crate::limit::{Standing, Unit};
use crate::llm::endpoint::Mismatch;
use crate::llm::refusal::{self, Refusal, RefusalKind};
use crate::llm::{Api, Format};
use crate::telemetry::Outcome;
use crate::wire::coding;
use crate::wire::http1::{Version, write};
use std::io::Write;
use std::time::Duration;

/// Headers that say how limits stand; a provider's own are not passed on where ours are written.
pub(super) const LIMIT_HEADERS: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];

/// How an answer of ours goes out.
pub(super) struct Manner<'a> {
    /// Whether the client's connection goes on after it.
    pub(super) keep_alive: bool,
    /// The request is HEAD: its answer has no body, though it says how long that would be (RFC 9110 section
    /// 9.3.2). Bytes of one would be taken for the next answer.
    pub(super) head_only: bool,
    /// The version the client speaks.
    pub(super) version: Version,
    pub(super) timeouts: &'a Timeouts,
}

/// Answers a fault, in the format the client speaks if that is known, with what `standings` tell.
pub(super) async fn fault(
    client: &mut Client,
    entry: &mut Entry,
    fault: &Fault,
    format: Option<Format>,
    standings: &[Standing],
    manner: &Manner<'_>,
) -> Then {
    entry.ended(fault.outcome());
    if let Fault::Rejected(rejection) = fault {
        entry.rejected_by(rejection.by);
    }
    let Some(status) = fault.status() else {
        if manner.version == Version::Http10 {
            // Its answer may end with the connection, and must not seem to be whole.
            client.socket.socket().reset_when_closed();
        }
        return Then::Close;
    };
    entry.record.status = status;
    let keep_alive = manner.keep_alive && fault.keeps_connection();
    let mut gather = client.spare();
    let mut body = std::mem::take(&mut gather.theirs);
    let message = fault.message();
    let wait = wait(fault);
    let refusal = Refusal {
        status,
        wait,
        param: fault.param(),
        code: fault.code(),
        unit: match fault {
            Fault::Refused(refused) => Some(refused.account.terms().unit.name()),
            _ => None,
        },
        ..Refusal::new(fault.kind(), &message)
    };
    refusal::write(format, &refusal, &mut body);
    let out = &mut gather.ours;
    write::status_line(out, status);
    write::header(out, b"content-type", refusal::CONTENT_TYPE.as_bytes());
    if let Some(wait) = wait {
        retry_after(out, wait);
    }
    if let Some(challenge) = fault.challenge() {
        write::header(out, b"www-authenticate", challenge.as_bytes());
    }
    if let Fault::Endpoint(Mismatch::Method { allow, .. }) = fault {
        write::header(out, b"allow", allow.name().as_bytes());
    }
    if refusal.kind == RefusalKind::Unserved || matches!(fault, Fault::Rejected(_) | Fault::Unaskable) {
        // SDKs come back after every status from 500 on, if they are not told that it will be the same.
        write::header(out, b"x-should-retry", b"false");
    }
    if let Fault::UnknownCoding = fault {
        // RFC 9110 section 15.5.16: which codings would have been accepted.
        write::header(out, b"accept-encoding", coding::SUPPORTED.as_bytes());
    }
    limit_headers(out, standings, format, entry.worker.moment().unix_ms);
    out.extend_from_slice(&entry.cors);
    connection(out, keep_alive, manner.version);
    // A guard may want one of those: what would follow would be taken for the next answer.
    if may_have_body(status) {
        write::content_length(out, body.len() as u64);
    }
    write::end(out);
    if !manner.head_only && may_have_body(status) {
        out.extend_from_slice(&body);
    }
    body.clear();
    gather.theirs = body;
    entry.record.bytes_out = gather.ours.len() as u64;
    gather.whole();
    finish(client, gather, keep_alive, manner.timeouts).await
}

/// After what time it is worth to come back. When room depends on others ending, nobody knows: soon is worth a try.
fn wait(fault: &Fault) -> Option<Duration> {
    const SOON: Duration = Duration::from_secs(1);
    match fault {
        Fault::Refused(refused) => Some(refused.wait.unwrap_or(SOON)),
        Fault::Busy | Fault::Crowded | Fault::Ungranted => Some(SOON),
        Fault::Denied(refusal) if matches!(refusal.status(), 429 | 503) => Some(SOON),
        _ => None,
    }
}

/// An answer that the configuration asks for.
pub(super) struct Own<'a> {
    pub(super) status: u16,
    /// Header lines, beside those that every answer has.
    pub(super) lines: &'a [u8],
    pub(super) body: &'a [u8],
}

/// Answers with what the configuration says.
pub(super) async fn own(client: &mut Client, entry: &mut Entry, own: &Own<'_>, manner: &Manner<'_>) -> Then {
    entry.ended(Outcome::Answered);
    entry.record.status = own.status;
    let mut gather = client.spare();
    let out = &mut gather.ours;
    write::status_line(out, own.status);
    out.extend_from_slice(own.lines);
    out.extend_from_slice(&entry.cors);
    connection(out, manner.keep_alive, manner.version);
    if may_have_body(own.status) {
        write::content_length(out, own.body.len() as u64);
    }
    write::end(out);
    if !manner.head_only && may_have_body(own.status) {
        out.extend_from_slice(own.body);
    }
    entry.record.bytes_out = gather.ours.len() as u64;
    gather.whole();
    finish(client, gather, manner.keep_alive, manner.timeouts).await
}

/// Whether an answer of that status may have a body (RFC 9110 section 6.4.1).
fn may_have_body(status: u16) -> bool {
    !matches!(status, 204 | 304)
}

/// Writes the `Connection` line of an answer, if it needs one. A client of HTTP/1.0 that asked for a persistent
/// connection has one only if it is told so (RFC 9112 section 9.3).
pub(super) fn connection(out: &mut Vec<u8>, keep_alive: bool, version: Version) {
    match (keep_alive, version) {
        (false, _) => out.extend_from_slice(write::CONNECTION_CLOSE),
        (true, Version::Http10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
}

async fn finish(
    client: &mut Client,
    gather: crate::runtime::Gather,
    keep_alive: bool,
    timeouts: &Timeouts,
) -> Then {
    match client.send(gather, timeouts.stream_idle).await {
        Ok(gather) => {
            client.recycle(gather);
            if keep_alive { Then::Next } else { Then::Linger }
        }
        Err(_) => Then::Close,
    }
}

/// Longer than this an SDK is told not to wait by itself: Anthropic's would sleep for as long as it is told, an hour or a
/// month, within the call; OpenAI's gives up beyond these two minutes of its own accord.
const UNATTENDED_WAIT_MAX: Duration = Duration::from_secs(120);

/// `retry-after` in whole seconds, rounded up so that it is never too early, and `retry-after-ms`, which the
/// official SDKs prefer. Both obey `x-should-retry`, with which the application itself gets the refusal at once.
fn retry_after(out: &mut Vec<u8>, wait: Duration) {
    let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    number_header(out, "retry-after: ", millis.div_ceil(1000));
    number_header(out, "retry-after-ms: ", millis);
    if wait > UNATTENDED_WAIT_MAX {
        write::header(out, b"x-should-retry", b"false");
    }
}

/// Headers that tell how limits on requests and tokens stand: `x-ratelimit-{limit,remaining,reset}-{unit}` as
/// OpenAI sends them, with the time until all is back; to clients of Anthropic's API
/// `anthropic-ratelimit-{unit}-{limit,remaining,reset}`, with the instant. Neither has a name for other units.
pub(super) fn limit_headers(out: &mut Vec<u8>, standings: &[Standing], format: Option<Format>, unix_ms: i64) {
    let is_anthropic = format.map(Format::api) == Some(Api::Anthropic);
    for Standing { unit, limit, remaining, reset } in standings {
        let [limit_name, remaining_name, reset_name] = match (unit, is_anthropic) {
            (Unit::Requests, false) => OPENAI_REQUESTS,
            (Unit::Tokens, false) => OPENAI_TOKENS,
            (Unit::Requests, true) => ANTHROPIC_REQUESTS,
            (Unit::Tokens, true) => ANTHROPIC_TOKENS,
            (Unit::Cost | Unit::Concurrency, _) => continue,
        };
        number_header(out, limit_name, *limit);
        number_header(out, remaining_name, *remaining);
        out.extend_from_slice(reset_name.as_bytes());
        if is_anthropic {
            let _ = write!(out, "{}", At(unix_ms, *reset));
        } else {
            openai_time(out, *reset);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// What the headers of a limit begin with: its capacity, what is left, when all is back. Whole, as each answer has them.
type Names = [&'static str; 3];
const OPENAI_REQUESTS: Names =
    ["x-ratelimit-limit-requests: ", "x-ratelimit-remaining-requests: ", "x-ratelimit-reset-requests: "];
const OPENAI_TOKENS: Names =
    ["x-ratelimit-limit-tokens: ", "x-ratelimit-remaining-tokens: ", "x-ratelimit-reset-tokens: "];
const ANTHROPIC_REQUESTS: Names = [
    "anthropic-ratelimit-requests-limit: ",
    "anthropic-ratelimit-requests-remaining: ",
    "anthropic-ratelimit-requests-reset: ",
];
const ANTHROPIC_TOKENS: Names = [
    "anthropic-ratelimit-tokens-limit: ",
    "anthropic-ratelimit-tokens-remaining: ",
    "anthropic-ratelimit-tokens-reset: ",
];

/// The instant so long after a time in milliseconds since 1970 UTC, as RFC 3339 has it, rounded up to a second.
struct At(i64, Duration);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = i64::try_from(self.1.as_millis()).unwrap_or(i64::MAX);
        let seconds = self.0.saturating_add(ms).saturating_add(999) / 1000;
        let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{at}")
    }
}

/// Writes a header line with a number; `name` has its colon.
fn number_header(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    write::number(out, number);
    out.extend_from_slice(b"\r\n");
}

/// Writes a time as OpenAI's headers have it: `1m40s`, `2s`, `1.500s`, `350ms`; rounded up to a millisecond.
fn openai_time(out: &mut Vec<u8>, time: Duration) {
    let millis = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, millis) = (millis / 1000 % 60, millis % 1000);
    if hours > 0 {
        write::number(out, hours);
        out.push(b'h');
    }
    if hours > 0 || minutes > 0 {
        write::number(out, minutes);
        out.push(b'm');
    }
    if (hours, minutes, seconds) == (0, 0, 0) && millis > 0 {
        write::number(out, millis);
        return out.extend_from_slice(b"ms");
    }
    write::number(out, seconds);
    if millis > 0 {
        let digits = [millis / 100, millis / 10 % 10, millis % 10].map(|digit| b'0' + digit as u8);
        out.push(b'.');
        out.extend_from_slice(&digits);
    }
    out.push(b's');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_openai_writes_them() {
        for (millis, shown) in [
            (0, "0s"),
            (6, "6ms"),
            (1_000, "1s"),
            (1_500, "1.500s"),
            (100_000, "1m40s"),
            (60_020, "1m0.020s"),
            (3_600_000, "1h0m0s"),
        ] {
            let mut out = Vec::new();
            openai_time(&mut out, Duration::from_millis(millis));
            assert_eq!(String::from_utf8_lossy(&out), shown);
        }
    }

    #[test]
    fn each_format_has_its_own_headers() {
        let standing =
            |unit, remaining| Standing { unit, limit: 100, remaining, reset: Duration::from_millis(1_500) };
        let standings = [standing(Unit::Requests, 7), standing(Unit::Cost, 9), standing(Unit::Tokens, 0)];
        let headers = |format| {
            let mut out = Vec::new();
            limit_headers(&mut out, &standings, format, 1_767_225_600_000);
            String::from_utf8(out).expect("text")
        };
        let openai = "x-ratelimit-limit-requests: 100\r\nx-ratelimit-remaining-requests: 7\r\n\
                      x-ratelimit-reset-requests: 1.500s\r\nx-ratelimit-limit-tokens: 100\r\n\
                      x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 1.500s\r\n";
        assert_eq!(headers(None), openai);
        assert_eq!(headers(Some(Format::OpenAiChat)), openai);
        assert_eq!(
            headers(Some(Format::AnthropicMessages)),
            "anthropic-ratelimit-requests-limit: 100\r\nanthropic-ratelimit-requests-remaining: 7\r\n\
             anthropic-ratelimit-requests-reset: 2026-01-01T00:00:02Z\r\n\
             anthropic-ratelimit-tokens-limit: 100\r\nanthropic-ratelimit-tokens-remaining: 0\r\n\
             anthropic-ratelimit-tokens-reset: 2026-01-01T00:00:02Z\r\n"
        );
    }

    #[test]
    fn retry_after_is_rounded_up_and_nobody_is_to_wait_for_long() {
        for (wait, written) in [
            (Duration::from_nanos(1_000_000_001), "retry-after: 2\r\nretry-after-ms: 1001\r\n"),
            (Duration::from_secs(120), "retry-after: 120\r\nretry-after-ms: 120000\r\n"),
            (
                Duration::from_millis(120_001),
                "retry-after: 121\r\nretry-after-ms: 120001\r\nx-should-retry: false\r\n",
            ),
        ] {
            let mut out = Vec::new();
            retry_after(&mut out, wait);
            assert_eq!(String::from_utf8(out).expect("text"), written);
        }
    }
}
