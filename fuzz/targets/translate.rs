//! Translation of every pair that is served: requests, answers, streams, errors.

use super::choice;
use super::streams::events;
use super::wellformed::{self, is_unique, object, text};
use serde_json::Value;
use std::sync::LazyLock;
use tollgate::llm::provider::SERVED;
use tollgate::llm::translate::{self, BadReply, ReplyTerms, RequestTerms, StreamTerms, StreamTranslator};
use tollgate::llm::{Api, Format, Inspector, Meter, ModelPlace, Usage, Work};
use tollgate::wire::json::{find, unescape};

/// The client's format and the provider's, in the order of the table, each pair once.
pub(super) static PAIRS: LazyLock<Vec<(Format, Format)>> = LazyLock::new(|| {
    let mut pairs = Vec::new();
    for (client, _, provider) in SERVED {
        if client != provider && client.work() == Work::Generates && !pairs.contains(&(client, provider)) {
            pairs.push((client, provider));
        }
    }
    pairs
});

fn pair(chosen: usize) -> (Format, Format) {
    PAIRS[chosen % PAIRS.len()]
}

/// The first byte chooses the pair, the second the terms.
pub(super) fn request(data: &[u8]) {
    let (chosen, data) = choice(data);
    let (terms, body) = choice(data);
    let (client, provider) = pair(chosen);
    let terms = RequestTerms {
        model: (terms & 1 == 1).then_some("backend-model"),
        path_model: (client == Format::GeminiGenerate).then_some("path-model"),
        path_stream: (client == Format::GeminiGenerate).then_some(terms & 2 == 2),
        include_usage: terms & 4 == 0,
        says_max_tokens: terms & 8 == 8,
        ..RequestTerms::default()
    };
    let mut out = Vec::new();
    match translate::request(client, provider, &mut body.to_vec(), &terms, &mut out) {
        Ok(lost) => {
            let made = object(&out, is_unique(body));
            assert!(lost.names().iter().all(|name| translate::LOSSES.contains(name)));
            agrees(client, provider, body, &terms, &out, &made);
        }
        Err(bad) => {
            assert!(!bad.message.is_empty() && bad.message.len() < 4096, "{bad}");
            let mut said = Vec::new();
            bad.write(client, &mut said);
            object(&said, true);
        }
    }
}

/// What the translated request asks for is what the client asked for, as far as limits go.
fn agrees(client: Format, provider: Format, body: &[u8], terms: &RequestTerms<'_>, out: &[u8], made: &Value) {
    let asked = Inspector::new(client).finish(body);
    let again = Inspector::new(provider).finish(out);
    let (Ok(asked), true) = (asked, is_unique(body)) else { return };
    let again = again.unwrap_or_else(|bad| panic!("{bad}: {}", text(out)));
    if provider.model_place() == ModelPlace::Body {
        let own = asked.model.and_then(|model| unescape::text(model.of(body)));
        let wanted = terms.model.or(terms.path_model).or(own.as_deref());
        assert_eq!(made["model"].as_str(), wanted, "{}", text(out));
        let wanted = asked.stream.or(terms.path_stream).unwrap_or_default();
        assert_eq!(again.stream.unwrap_or_default(), wanted, "{}", text(out));
    }
}

/// The first byte chooses the pair.
pub(super) fn reply(data: &[u8]) {
    let (chosen, body) = choice(data);
    let (client, provider) = pair(chosen);
    let terms =
        ReplyTerms { created_unix: 1_700_000_000, asked_model: Some("asked"), ..ReplyTerms::default() };
    let mut out = Vec::new();
    let Ok(lost) = translate::reply(provider, client, &mut body.to_vec(), &terms, &mut out) else { return };
    assert!(lost.names().iter().all(|name| translate::LOSSES.contains(name)));
    object(&out, is_unique(body));
    let metered = |format, bytes: &[u8]| {
        let mut meter = Meter::new(format, false);
        meter.feed(bytes);
        meter
    };
    let read = metered(client, &out);
    assert!(read.complete() && read.malformed() == 0 && !read.failed(), "{}", text(&out));
    assert!(read.usage().is_some() && read.model().is_some(), "{}", text(&out));
    if let (Some(theirs), Some(ours)) = (metered(provider, body).usage(), read.usage())
        && is_unique(body)
        && text(body).matches("\"usage").count() == 1 // hosts that tell it twice, or elsewhere, are the meter's to know
        && ["usage", "usageMetadata"].iter().any(|name| find::value(body, &[name]).is_some())
        && is_plain(&theirs)
    {
        assert_eq!((ours.input, ours.output), (theirs.input, theirs.output), "{}", text(&out));
    }
}

/// The first byte chooses the pair, the second how it ends. The stream is SSE; of Bedrock's events the names are those of frames.
pub(super) fn stream(data: &[u8]) {
    let (chosen, data) = choice(data);
    let (end, data) = choice(data);
    let (client, provider) = pair(chosen);
    let terms = StreamTerms {
        created_unix: 1_700_000_000,
        asked_model: "asked".to_owned(),
        provider_model: String::new(),
        include_usage: end & 1 == 1,
    };
    let (events, rest) = events(&[data], usize::MAX).unwrap_or_default();
    let mut stream = StreamTranslator::new(provider, client, terms);
    let mut out = Vec::new();
    let mut fault = None;
    for (at, (name, data)) in events.iter().chain(&rest).enumerate() {
        if end & 2 == 2 && at == end >> 2 {
            stream.cut(None, &mut out);
        }
        let name = if provider == Format::BedrockConverse { text(name) } else { String::new() };
        let before = out.len();
        match stream.event(&name, &mut data.clone(), &mut out) {
            Ok(()) => drop(wellformed::events(client, &out[before..])),
            Err(bad) => {
                fault = Some(bad);
                break;
            }
        }
    }
    if end & 128 == 128 && fault.is_none() {
        stream.fail("overloaded_error", "no room", &mut out);
    }
    stream.finish(&mut out);
    let whole = out.len();
    stream.finish(&mut out);
    stream.cut(None, &mut out);
    stream.fail("", "", &mut out);
    assert!(stream.event("", &mut b"{}".to_vec(), &mut out).is_ok());
    assert_eq!(out.len(), whole, "something follows the end");
    assert!(!matches!(fault, Some(BadReply::TooLong)) || data.len() > 4 << 20);
    wellformed::stream(client, &out);
    same_usage(client, stream.usage(), &out);
    let mut meter = Meter::new(client, true);
    meter.feed(&out);
    assert!(meter.malformed() == 0 && (meter.complete() || meter.failed()), "{}", text(&out));
}

/// What the client is told was used, in a stream that is told to its end, is what the provider told.
fn same_usage(client: Format, told: Option<Usage>, out: &[u8]) {
    let mut meter = Meter::new(client, true);
    meter.feed(out);
    let read = meter.usage().filter(|_| meter.complete() && !meter.failed());
    if let (Some(told), Some(read)) = (told.filter(is_plain), read) {
        assert_eq!((read.input, read.output), (told.input, told.output), "{}", text(out));
    }
}

/// Whether its parts are parts, and its numbers those of a request.
fn is_plain(usage: &Usage) -> bool {
    usage.total() < 1 << 53
        && usage.cached_input.saturating_add(usage.cache_write) <= usage.input
        && usage.reasoning <= usage.output
}

/// The first byte chooses the pair, the second and the third the status.
pub(super) fn error(data: &[u8]) {
    let (chosen, data) = choice(data);
    let (high, data) = choice(data);
    let (low, body) = choice(data);
    let (client, provider) = match chosen & 128 {
        0 => pair(chosen),
        _ => (pair(chosen).0, pair(chosen).0),
    };
    let status = (high << 8 | low) % 1000;
    let mut out = b"before".to_vec();
    let told = translate::error(provider, client, status as u16, &mut body.to_vec(), &mut out);
    assert!(
        told >= 400 && (status < 400 || status == 529 || usize::from(told) == status),
        "{status} to {told}"
    );
    let said = out.strip_prefix(b"before").unwrap_or_else(|| panic!("what was there is gone"));
    if provider == client && said == body {
        return; // it had the format's shape
    }
    let said = object(said, true);
    let error = &said["error"];
    let message = error["message"].as_str().unwrap_or_else(|| panic!("no message: {said}"));
    assert!(!message.is_empty() && message.len() <= 4096 + 64, "{said}");
    match client.api() {
        Api::Gemini => assert!(error["status"].is_string() && error["code"].is_u64(), "{said}"),
        _ => assert!(error["type"].is_string(), "{said}"),
    }
}
