//! The record of one exchange: who asked what of whom, what it cost, which limits spoke, how it ended.
//!
//! A worker fills in a [`Record`] as the exchange goes on and sends it by mail; its strings have room of
//! their own or are shared, so that none of this allocates. [`Record::json_line`] is for who writes it down.
//! Records are paper that is used again: what one exchange leaves blank is not written for the next either, and a
//! [`Name`] that stands on the sheet from before costs nothing.

use super::counters::UsageCounts;
pub use super::headers::{HEADERS_MAX, Header, Headers};
use super::json::{Object, lead};
pub use super::lists::{GuardName, Payee};
pub use super::outcome::{Outcome, PriceSource, UsageSource};
use super::time::Utc;
pub use super::verdicts::{DECISIONS_MAX, Decision, Decisions, Name, Verdict};
use arrayvec::ArrayString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// One exchange.
#[derive(Clone, Debug)]
pub struct Record {
    /// When the request's head had arrived, in milliseconds since 1970 UTC.
    pub time_unix_ms: u64,
    /// Which worker served it.
    pub worker: u16,
    /// `namespace/name` of the route, when one was found.
    pub route: Name,
    /// Which rule of the route, from 0.
    pub rule: u32,
    /// `namespace/name` of the backend that was chosen.
    pub backend: Name,
    /// Who connected.
    pub client: SocketAddr,
    /// The first 8 hexadecimal digits of a hash of the caller's key, never the key; empty without one.
    pub key: ArrayString<8>,
    /// The method.
    pub method: ArrayString<16>,
    /// The path as the client sent it, cut at its bound, never with the query, which may hold a key:
    /// set it with [`set_path`](Record::set_path).
    pub path: ArrayString<256>,
    /// The format that the client spoke, when it was known.
    pub format: Option<&'static str>,
    /// The provider that was asked.
    pub provider: Option<&'static str>,
    /// The model that the client asked for; empty when it named none.
    pub model_asked: ArrayString<64>,
    /// The model that was asked of the provider; empty when none was. Of a request that was refused because it has
    /// no price, the model that has none.
    pub model_used: ArrayString<64>,
    /// The status that the client got; 0 when it got none.
    pub status: u16,
    /// Whether the answer was a stream.
    pub streamed: bool,
    /// What was settled.
    pub usage: UsageCounts,
    /// Who says so.
    pub usage_source: UsageSource,
    /// What it cost by the configured prices.
    pub cost_nano_usd: u64,
    /// The limits that were asked, in their order; those beyond the bound are left out.
    pub decisions: Decisions,
    /// From the request's first byte to the answer's first, in microseconds; `None` when there was none.
    pub first_byte_us: Option<u64>,
    /// From the request's first byte to the end, in microseconds.
    pub duration_us: u64,
    /// Bytes received from the client, head included.
    pub bytes_in: u64,
    /// Bytes sent to the client, head included.
    pub bytes_out: u64,
    /// How often a provider was asked: 0 when none was, above 1 after a retry.
    pub attempts: u8,
    /// How it ended.
    pub outcome: Outcome,
    /// By which price it was counted; `None` when there was nothing to price.
    pub price: Option<Priced>,
    /// The headers that `records.headers` of the settings names.
    pub headers: Headers,
    /// Which guard rejected the request or its answer.
    pub guard: Option<GuardName>,
    /// What the caller is called that was let in: the name of its API key, its user or its token's subject; empty where
    /// nobody had to know.
    pub identity: ArrayString<64>,
}

/// By which price an exchange was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priced {
    /// Whose prices apply: a provider, or a host that speaks its format.
    pub payee: Payee,
    /// Which price it was.
    pub source: PriceSource,
}

impl Record {
    /// A record of nothing.
    pub const fn blank() -> Record {
        Record {
            time_unix_ms: 0,
            worker: 0,
            route: Name::none(),
            rule: 0,
            backend: Name::none(),
            client: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            key: ArrayString::new_const(),
            method: ArrayString::new_const(),
            path: ArrayString::new_const(),
            format: None,
            provider: None,
            model_asked: ArrayString::new_const(),
            model_used: ArrayString::new_const(),
            status: 0,
            streamed: false,
            usage: UsageCounts::none(),
            usage_source: UsageSource::None,
            cost_nano_usd: 0,
            decisions: Decisions::none(),
            first_byte_us: None,
            duration_us: 0,
            bytes_in: 0,
            bytes_out: 0,
            attempts: 0,
            outcome: Outcome::Fault,
            price: None,
            headers: Headers::none(),
            guard: None,
            identity: ArrayString::new_const(),
        }
    }

    /// A record of which no more is known than when, where and who.
    pub fn begun(time_unix_ms: u64, worker: u16, client: SocketAddr) -> Record {
        Record { time_unix_ms, worker, client, ..Record::blank() }
    }

    /// Makes this sheet, whatever stands on it, what [`begun`](Record::begun) makes. A record is larger than what most
    /// exchanges write into it, so it is not written anew but wiped where something stands.
    pub fn begin(&mut self, time_unix_ms: u64, worker: u16, client: SocketAddr) {
        // All fields by name, so that the compiler tells when one is forgotten.
        let Record {
            time_unix_ms: time,
            worker: by,
            route,
            rule,
            backend,
            client: from,
            key,
            method,
            path,
            format,
            provider,
            model_asked,
            model_used,
            status,
            streamed,
            usage,
            usage_source,
            cost_nano_usd,
            decisions,
            first_byte_us,
            duration_us,
            bytes_in,
            bytes_out,
            attempts,
            outcome,
            price,
            headers,
            guard,
            identity,
        } = self;
        (*time, *by, *from) = (time_unix_ms, worker, client);
        route.erase();
        backend.erase();
        decisions.erase();
        headers.erase();
        key.clear();
        method.clear();
        path.clear();
        model_asked.clear();
        model_used.clear();
        identity.clear();
        (*format, *provider, *first_byte_us) = (None, None, None);
        (*rule, *status, *streamed, *attempts) = (0, 0, false, 0);
        (*cost_nano_usd, *duration_us, *bytes_in, *bytes_out) = (0, 0, 0, 0);
        (*usage, *usage_source) = (UsageCounts::default(), UsageSource::None);
        (*outcome, *price, *guard) = (Outcome::Fault, None, None);
    }

    /// Keeps the path of `target`, without its query, as far as there is room.
    pub fn set_path(&mut self, target: &[u8]) {
        self.path.clear();
        put(&mut self.path, target.split(|byte| *byte == b'?').next().unwrap_or_default());
    }

    /// Appends the record as one line: a JSON object (RFC 8259) and a line feed.
    ///
    /// Its members are always all there and always in this order; what is not known is `null`:
    /// `time` (RFC 3339, UTC), `worker`, `route`, `rule`, `backend`, `client`, `key`, `method`, `path`,
    /// `format`, `provider`, `model_asked`, `model_used`, `status`, `streamed`, `usage` {`source`, `input`,
    /// `cached_input`, `cache_write`, `output`, `reasoning`, `cache_write_1h`, `audio_input`, `audio_output`},
    /// `cost_nano_usd`, `limits` [{`rule`, `unit`, `admitted`, `reserved`, `settled`, `balance_after`,
    /// `retry_after_ms`}], `first_byte_us`, `duration_us`, `bytes_in`, `bytes_out`, `attempts`, `outcome`, `price`,
    /// `headers`, `guard`, `identity`.
    /// New members will be added at the end.
    pub fn json_line(&self, out: &mut Vec<u8>) {
        let mut json = Object::begin(out);
        json.time(lead!("time"), Utc(self.time_unix_ms));
        json.plain(lead!("worker"), self.worker);
        json.text(lead!("route"), self.route.get());
        json.plain_or_null(lead!("rule"), self.route.get().map(|_| self.rule));
        json.text(lead!("backend"), self.backend.get());
        json.address(lead!("client"), self.client);
        json.text(lead!("key"), non_empty(&self.key));
        json.text(lead!("method"), non_empty(&self.method));
        json.text(lead!("path"), non_empty(&self.path));
        json.word_or_null(lead!("format"), self.format);
        json.word_or_null(lead!("provider"), self.provider);
        json.text(lead!("model_asked"), non_empty(&self.model_asked));
        json.text(lead!("model_used"), non_empty(&self.model_used));
        json.plain_or_null(lead!("status"), (self.status != 0).then_some(self.status));
        json.plain(lead!("streamed"), self.streamed);
        self.usage_members(json.member(lead!("usage")));
        json.plain(lead!("cost_nano_usd"), self.cost_nano_usd);
        self.limit_list(json.member(lead!("limits")));
        json.plain_or_null(lead!("first_byte_us"), self.first_byte_us);
        json.plain(lead!("duration_us"), self.duration_us);
        json.plain(lead!("bytes_in"), self.bytes_in);
        json.plain(lead!("bytes_out"), self.bytes_out);
        json.plain(lead!("attempts"), self.attempts);
        json.word(lead!("outcome"), self.outcome.name());
        json.word_or_null(lead!("price"), self.price.map(|price| price.source.name()));
        self.header_members(json.member(lead!("headers")));
        match self.guard {
            Some(guard) => json.quoted(lead!("guard"), guard),
            None => json.text(lead!("guard"), None),
        }
        json.text(lead!("identity"), non_empty(&self.identity));
        json.end();
        out.push(b'\n');
    }

    fn usage_members(&self, out: &mut Vec<u8>) {
        let mut json = Object::begin(out);
        json.word(lead!("source"), self.usage_source.name());
        json.plain(lead!("input"), self.usage.input);
        json.plain(lead!("cached_input"), self.usage.cached_input);
        json.plain(lead!("cache_write"), self.usage.cache_write);
        json.plain(lead!("output"), self.usage.output);
        json.plain(lead!("reasoning"), self.usage.reasoning);
        json.plain(lead!("cache_write_1h"), self.usage.cache_write_1h);
        json.plain(lead!("audio_input"), self.usage.audio_input);
        json.plain(lead!("audio_output"), self.usage.audio_output);
        json.end();
    }

    /// By name; a header that the request has not is null.
    fn header_members(&self, out: &mut Vec<u8>) {
        let mut json = Object::begin(out);
        for Header { name, value } in self.headers.iter() {
            json.named_text(name, value.as_deref());
        }
        json.end();
    }

    fn limit_list(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (place, decision) in self.decisions.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            let Decision { rule, verdict } = decision;
            let mut json = Object::begin(out);
            json.text(lead!("rule"), Some(rule));
            json.word(lead!("unit"), verdict.unit);
            json.plain(lead!("admitted"), verdict.admitted);
            json.plain(lead!("reserved"), verdict.reserved);
            json.plain(lead!("settled"), verdict.settled);
            json.plain(lead!("balance_after"), verdict.balance_after);
            json.plain(lead!("retry_after_ms"), verdict.retry_after_ms);
            json.end();
        }
        out.push(b']');
    }
}

/// As much of `text` as there is room for, in whole characters; what is not UTF-8 is shown as U+FFFD.
pub fn bounded<const ROOM: usize>(text: &[u8]) -> ArrayString<ROOM> {
    let mut kept = ArrayString::new();
    put(&mut kept, text);
    kept
}

fn put<const ROOM: usize>(kept: &mut ArrayString<ROOM>, text: &[u8]) {
    const REPLACEMENT: &str = "\u{fffd}";
    for chunk in text.utf8_chunks() {
        let replacement = if chunk.invalid().is_empty() { "" } else { REPLACEMENT };
        for part in [chunk.valid(), replacement] {
            let end = part.floor_char_boundary(kept.remaining_capacity());
            let fits = kept.try_push_str(&part[..end]).is_ok();
            if !fits || end < part.len() {
                return;
            }
        }
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &Record) -> String {
        let mut out = Vec::new();
        record.json_line(&mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    fn client() -> SocketAddr {
        "10.1.2.3:55000".parse().expect("an address")
    }

    fn full() -> Record {
        let mut record = Record::begun(1_767_323_045_678, 1, client());
        record.route.write(&"kgateway-system/claude".into());
        record.backend.write(&"kgateway-system/anthropic".into());
        record.key = bounded(b"0f1e2d3c4b5a");
        record.method = bounded(b"POST");
        record.set_path(b"/anthropic?key=secret");
        record.format = Some("openai.chat");
        record.provider = Some("anthropic");
        record.model_asked = bounded(b"claude-sonnet-4-5");
        record.model_used = bounded(b"claude-3-5-haiku-latest");
        record.status = 200;
        record.streamed = true;
        record.usage = UsageCounts {
            input: 1200,
            cached_input: 1000,
            cache_write: 50,
            output: 80,
            reasoning: 7,
            ..UsageCounts::none()
        };
        record.usage_source = UsageSource::Reported;
        record.cost_nano_usd = 1_234_567;
        for (rule, unit, balance_after) in [("ns/p/rpm", "requests", 19), ("ns/p/\"tpm\"", "tokens", -5)] {
            let admitted = balance_after >= 0;
            let verdict =
                Verdict { unit, admitted, reserved: 1, settled: 2, balance_after, retry_after_ms: 3 };
            assert!(record.decisions.note(&rule.into(), verdict));
        }
        record.first_byte_us = Some(250_000);
        record.duration_us = 1_750_000;
        (record.bytes_in, record.bytes_out, record.attempts) = (2048, 65_536, 2);
        record.outcome = Outcome::Completed;
        record.guard = Some(GuardName::new("response", 1, "webhook"));
        record.price = Some(Priced { payee: Payee::named("anthropic"), source: PriceSource::Listed });
        record.headers.note(&"x-team".into(), Some(b"red"));
        record.headers.note(&"x-none".into(), None);
        record.identity = bounded(b"batch");
        record
    }

    #[test]
    fn a_full_record_is_one_line_with_members_in_order() {
        let expected = concat!(
            r#"{"time":"2026-01-02T03:04:05.678Z","worker":1,"route":"kgateway-system/claude","rule":0,"#,
            r#""backend":"kgateway-system/anthropic","client":"10.1.2.3:55000","key":"0f1e2d3c","#,
            r#""method":"POST","path":"/anthropic","format":"openai.chat","provider":"anthropic","#,
            r#""model_asked":"claude-sonnet-4-5","model_used":"claude-3-5-haiku-latest","status":200,"#,
            r#""streamed":true,"usage":{"source":"reported","input":1200,"cached_input":1000,"#,
            r#""cache_write":50,"output":80,"reasoning":7,"cache_write_1h":0,"audio_input":0,"#,
            r#""audio_output":0},"cost_nano_usd":1234567,"#,
            r#""limits":[{"rule":"ns/p/rpm","unit":"requests","admitted":true,"reserved":1,"settled":2,"#,
            r#""balance_after":19,"retry_after_ms":3},{"rule":"ns/p/\"tpm\"","unit":"tokens","#,
            r#""admitted":false,"reserved":1,"settled":2,"balance_after":-5,"retry_after_ms":3}],"#,
            r#""first_byte_us":250000,"duration_us":1750000,"bytes_in":2048,"bytes_out":65536,"#,
            r#""attempts":2,"outcome":"completed","price":"listed","headers":{"x-team":"red","x-none":null},"guard":"response/1 webhook","#,
            r#""identity":"batch"}"#,
            "\n",
        );
        assert_eq!(line(&full()), expected);
    }

    #[test]
    fn a_record_that_nobody_filled_in_has_every_member_too() {
        let expected = concat!(
            r#"{"time":"1970-01-01T00:00:00.000Z","worker":0,"route":null,"rule":null,"backend":null,"#,
            r#""client":"10.1.2.3:55000","key":null,"method":null,"path":null,"format":null,"#,
            r#""provider":null,"model_asked":null,"model_used":null,"status":null,"streamed":false,"#,
            r#""usage":{"source":"none","input":0,"cached_input":0,"cache_write":0,"output":0,"#,
            r#""reasoning":0,"cache_write_1h":0,"audio_input":0,"audio_output":0},"cost_nano_usd":0,"#,
            r#""limits":[],"first_byte_us":null,"duration_us":0,"#,
            r#""bytes_in":0,"bytes_out":0,"attempts":0,"outcome":"fault","price":null,"headers":{},"guard":null,"#,
            r#""identity":null}"#,
            "\n",
        );
        assert_eq!(line(&Record::begun(0, 0, client())), expected);
    }

    #[test]
    fn a_sheet_that_begins_anew_tells_nothing_of_before() {
        let mut used = full();
        used.begin(0, 0, client());
        assert_eq!(line(&used), line(&Record::begun(0, 0, client())));
    }

    #[test]
    fn whatever_stands_in_a_string_the_line_is_one_json_object() {
        let nasty = "\"\\\n\r\t\u{0}\u{1f}\u{7f}\u{2028}é\u{1f600}";
        let mut record = full();
        record.model_asked = bounded(nasty.as_bytes());
        record.route.write(&nasty.into());
        record.set_path(b"/\xff\xfe\n?secret");
        let line = line(&record);
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read["model_asked"], nasty);
        assert_eq!(read["route"], nasty);
        assert_eq!(read["path"], "/\u{fffd}\u{fffd}\n");
    }

    #[test]
    fn strings_are_cut_between_characters() {
        for (text, kept) in [
            (&b""[..], ""),
            (b"abcd", "abcd"),
            (b"abcde", "abcd"),
            ("abcé".as_bytes(), "abc"),
            ("abé".as_bytes(), "abé"),
            (b"a\xffb", "a\u{fffd}"),
            (b"ab\xff", "ab"),
        ] {
            assert_eq!(&*bounded::<4>(text), kept);
        }
    }

    #[test]
    fn records_stay_small() {
        // Thousands may wait in boxes; this says so to whoever adds a field.
        assert!(size_of::<Record>() <= 1408, "{} bytes", size_of::<Record>());
    }
}
