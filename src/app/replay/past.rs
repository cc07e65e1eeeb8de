//! Records of requests that were, as far as a replay needs them.

use crate::base::FastMap;
use crate::llm::{Format, Usage, Work};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The most records of one replay: each takes about a quarter of a KiB.
pub(super) const RECORDS_MAX: usize = 16_000_000;
/// The longest line; a record has no more than a few KiB.
const LINE_MAX: u64 = 64 << 10;

/// Headers by name; what a request had not is `None`.
type Fields = BTreeMap<String, Option<String>>;

/// One request that was.
pub(super) struct Past {
    /// When it began, in milliseconds since 1970 UTC.
    pub(super) begin_ms: u64,
    /// From its first byte to its end, in whole milliseconds as its beginning is: both are cut, so that what followed one
    /// another does not overlap.
    pub(super) duration: Duration,
    /// `namespace/name/number` of its rule.
    pub(super) rule: Arc<str>,
    /// `namespace/name` of its route.
    pub(super) route: Arc<str>,
    pub(super) backend: Option<Arc<str>>,
    /// The first 8 digits of the SHA-256 of its credential.
    pub(super) key: Option<u32>,
    pub(super) client: IpAddr,
    /// The model that the client asked for; empty when it named none.
    pub(super) asked: Arc<str>,
    /// The model that answered; empty when none did.
    pub(super) used: Arc<str>,
    pub(super) work: Work,
    pub(super) streamed: bool,
    /// What was settled; nothing where it was refused.
    pub(super) usage: Usage,
    /// A limit refused it.
    pub(super) refused: bool,
    /// The headers that records were told to hold.
    pub(super) headers: Arc<Fields>,
}

/// All records of a replay.
#[derive(Default)]
pub(super) struct Log {
    /// By the time at which they began.
    pub(super) records: Vec<Past>,
    /// Requests that never came to be asked of limits: of no route, redirected, malformed.
    pub(super) passed_over: u64,
    /// Lines that are no records, and the first of them.
    pub(super) unread: u64,
    pub(super) first_unread: Option<(u64, String)>,
}

#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    time: Cow<'l, str>,
    #[serde(borrow)]
    route: Option<Cow<'l, str>>,
    rule: Option<u32>,
    #[serde(borrow)]
    backend: Option<Cow<'l, str>>,
    client: SocketAddr,
    #[serde(borrow)]
    key: Option<Cow<'l, str>>,
    #[serde(borrow)]
    format: Option<Cow<'l, str>>,
    #[serde(borrow)]
    model_asked: Option<Cow<'l, str>>,
    #[serde(borrow)]
    model_used: Option<Cow<'l, str>>,
    streamed: bool,
    usage: Counts,
    limits: Vec<Said>,
    duration_us: u64,
    attempts: u8,
    #[serde(borrow)]
    outcome: Cow<'l, str>,
    #[serde(default)]
    headers: Fields,
}

/// What a limit said.
#[derive(Deserialize)]
struct Said {
    admitted: bool,
}

#[derive(Deserialize)]
struct Counts {
    input: u64,
    cached_input: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
    #[serde(default)]
    cache_write_1h: u64,
    #[serde(default)]
    audio_input: u64,
    #[serde(default)]
    audio_output: u64,
}

/// What stands in many records, once.
#[derive(Default)]
struct Shared {
    texts: FastMap<String, Arc<str>>,
    headers: FastMap<Fields, Arc<Fields>>,
}

impl Shared {
    fn text(&mut self, text: &str) -> Arc<str> {
        match self.texts.get(text) {
            Some(known) => known.clone(),
            None => {
                let shared: Arc<str> = text.into();
                self.texts.insert(text.to_owned(), shared.clone());
                shared
            }
        }
    }

    fn headers(&mut self, headers: Fields) -> Arc<Fields> {
        self.headers.entry(headers).or_insert_with_key(|headers| Arc::new(headers.clone())).clone()
    }
}

impl Log {
    /// Reads records line by line, and brings them into the order in which they began: they are written as they end.
    ///
    /// # Errors
    /// The source cannot be read, or has more records than [`RECORDS_MAX`].
    pub(super) fn read(&mut self, mut source: impl BufRead) -> io::Result<()> {
        let mut shared = Shared::default();
        let (mut text, mut number) = (Vec::new(), 0);
        loop {
            text.clear();
            number += 1;
            if next_line(&mut source, &mut text)? == 0 {
                break;
            }
            let line = text.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice::<Line<'_>>(line) {
                Ok(line) => match past(line, &mut shared) {
                    Some(past) => self.records.push(past),
                    None => self.passed_over += 1,
                },
                Err(error) => {
                    self.unread += 1;
                    self.first_unread.get_or_insert_with(|| (number, error.to_string()));
                }
            }
            if self.records.len() > RECORDS_MAX {
                let why = format!("there are more than {RECORDS_MAX} records: replay a part of them");
                return Err(io::Error::other(why));
            }
        }
        self.records.sort_by_key(|past| past.begin_ms);
        Ok(())
    }
}

/// Reads a line with its end; of one that is too long the start, and the rest is left out. How much was read.
fn next_line(source: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<usize> {
    let read = io::Read::take(&mut *source, LINE_MAX).read_until(b'\n', text)?;
    if read as u64 == LINE_MAX && !text.ends_with(b"\n") {
        source.skip_until(b'\n')?;
    }
    Ok(read)
}

/// A record as a replay needs it; `None` of requests that no limit was asked about.
fn past(line: Line<'_>, shared: &mut Shared) -> Option<Past> {
    // What was refused for another reason, as because it has no price, says nothing of limits.
    let refused = line.outcome == "refused" && line.limits.iter().any(|said| !said.admitted);
    let route = line.route.filter(|_| refused || line.attempts > 0 || !line.limits.is_empty())?;
    let time: jiff::Timestamp = line.time.parse().ok()?;
    let work = match line.format.as_deref() {
        None => Work::Free,
        Some(name) => Format::ALL.into_iter().find(|format| format.name() == name).map(Format::work)?,
    };
    let Counts { input, cached_input, cache_write, output, reasoning, .. } = line.usage;
    let Counts { cache_write_1h, audio_input, audio_output, .. } = line.usage;
    let text = |text: Option<Cow<'_, str>>, shared: &mut Shared| shared.text(&text.unwrap_or_default());
    Some(Past {
        begin_ms: u64::try_from(time.as_millisecond()).ok()?,
        duration: Duration::from_millis(line.duration_us / 1000),
        rule: shared.text(&format!("{route}/{}", line.rule.unwrap_or_default())),
        route: shared.text(&route),
        backend: line.backend.map(|backend| shared.text(&backend)),
        key: line.key.and_then(|key| u32::from_str_radix(&key, 16).ok()),
        client: line.client.ip(),
        asked: text(line.model_asked, shared),
        used: text(line.model_used, shared),
        work,
        streamed: line.streamed,
        usage: Usage {
            input,
            cached_input,
            cache_write,
            cache_write_1h,
            audio_input,
            output,
            reasoning,
            audio_output,
        },
        refused,
        headers: shared.headers(line.headers),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A record that began at `second` and took a tenth of one, with members replaced by name.
    pub(in crate::app::replay) fn record(second: u32, members: &[(&str, serde_json::Value)]) -> String {
        let mut record = serde_json::json!({
            "time": format!("2026-01-02T03:{:02}:{:02}.000Z", second / 60, second % 60), "worker": 0,
            "route": "llm/chat", "rule": 0, "backend": "llm/openai", "client": "10.0.0.7:4000", "key": "ba7816bf",
            "format": "openai.chat", "model_asked": "gpt-5", "model_used": "gpt-5-2025", "status": 200,
            "streamed": false, "usage": {"source": "reported", "input": 100, "cached_input": 0, "cache_write": 0,
            "output": 50, "reasoning": 0, "cache_write_1h": 0, "audio_input": 0, "audio_output": 0},
            "limits": [], "duration_us": 100_000, "attempts": 1, "outcome": "completed", "headers": {"x-team": "red"},
        });
        for (name, value) in members {
            record[*name] = value.clone();
        }
        record.to_string() + "\n"
    }

    #[test]
    fn records_come_in_the_order_in_which_they_began_and_what_is_none_is_told() {
        let text = record(9, &[])
            + &record(
                2,
                &[
                    ("outcome", "refused".into()),
                    ("attempts", 0.into()),
                    ("limits", serde_json::json!([{"admitted": false}])),
                ],
            )
            + &record(6, &[("outcome", "refused".into()), ("attempts", 0.into())])
            + "{\"time\": 3}\n\n"
            + &record(4, &[("route", serde_json::Value::Null), ("outcome", "no_route".into())])
            + &record(5, &[("attempts", 0.into()), ("outcome", "bad_request".into())])
            + &"x".repeat(LINE_MAX as usize + 10)
            + "\n"
            + record(3, &[]).trim_end();
        let mut log = Log::default();
        log.read(text.as_bytes()).expect("it is read");
        let seconds: Vec<_> = log.records.iter().map(|past| past.begin_ms / 1000 % 60).collect();
        assert_eq!(seconds, [2, 3, 9]);
        assert_eq!((log.passed_over, log.unread), (3, 2));
        assert_eq!(log.first_unread.as_ref().map(|(number, _)| *number), Some(4));
        let first = &log.records[0];
        assert!(first.refused && Arc::ptr_eq(&first.rule, &log.records[1].rule), "names are shared");
        assert_eq!((&*first.rule, first.key), ("llm/chat/0", Some(0xba78_16bf)));
        assert_eq!(first.headers["x-team"].as_deref(), Some("red"));
    }
}
