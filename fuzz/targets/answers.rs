//! What reads a passing answer: the meter, the cutter, what takes out usage.

use super::choice;
use super::cuts::{Dice, every_way};
use super::streams::events;
use super::wellformed;
use tollgate::base::Money;
use tollgate::llm::price::Rates;
use tollgate::llm::{Cutter, Format, Meter, Usage, UsageStripper};
use tollgate_loadtest::eventstream;

/// The formats that cost something, streamed and whole.
const METERED: [(Format, bool); 11] = [
    (Format::OpenAiChat, true),
    (Format::OpenAiChat, false),
    (Format::OpenAiResponses, true),
    (Format::OpenAiResponses, false),
    (Format::AnthropicMessages, true),
    (Format::AnthropicMessages, false),
    (Format::GeminiGenerate, true),
    (Format::GeminiGenerate, false),
    (Format::BedrockConverse, true),
    (Format::BedrockConverse, false),
    (Format::OpenAiEmbeddings, false),
];

/// What a meter says.
#[derive(Debug, PartialEq)]
struct Said {
    usage: Option<Usage>,
    model: Option<String>,
    output_bytes: u64,
    is: [bool; 2],
    events: [u64; 2],
}

fn said(meter: &Meter) -> Said {
    Said {
        usage: meter.usage(),
        model: meter.model().map(str::to_owned),
        output_bytes: meter.output_bytes(),
        is: [meter.complete(), meter.failed()],
        events: [meter.events(), meter.malformed()],
    }
}

/// The first byte chooses the format. A stream of Bedrock's is written as SSE, whose events become frames here.
pub(super) fn meter(data: &[u8]) {
    let (chosen, data) = choice(data);
    let (format, streamed) = METERED[chosen % METERED.len()];
    let framed = (format == Format::BedrockConverse && streamed && chosen < 128).then(|| frames(data));
    let data = framed.as_deref().unwrap_or(data);
    let whole = every_way(data, |pieces| {
        let mut meter = Meter::new(format, streamed);
        pieces.iter().for_each(|piece| meter.feed(piece));
        said(&meter)
    });
    assert!(whole.output_bytes <= data.len() as u64, "more text than there are bytes: {whole:?}");
    let [events, malformed] = whole.events; // a stream of frames that breaks off is one more that is malformed
    assert!(malformed <= events + 1 && events <= data.len() as u64, "{whole:?}");
    let mut meter = Meter::new(format, streamed);
    let mut before = said(&meter);
    for piece in data.chunks(data.len() / 64 + 1) {
        meter.feed(piece);
        let now = said(&meter);
        assert!(now.output_bytes >= before.output_bytes && now.events >= before.events, "it took some back");
        assert!(now.usage.is_some() || before.usage.is_none(), "it forgot what was reported");
        assert!(now.is[1] || !before.is[1], "it forgot that it failed");
        assert!(before.model.is_none() || now.model == before.model, "another model");
        before = now;
    }
    if let Some(usage) = whole.usage {
        assert!(usage.total() >= usage.input.max(usage.output));
        assert!(Rates::flat(u64::MAX, u64::MAX).cost(&usage) >= Money::ZERO);
        let mut sum = usage;
        sum += usage;
        assert!(sum.input >= usage.input && sum.output >= usage.output, "a sum that is less than its parts");
    }
}

/// AWS's frames for the events of an SSE stream, by their names.
fn frames(stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (events, rest) = events(&[stream], usize::MAX).unwrap_or_default();
    for (name, data) in events {
        let name = String::from_utf8_lossy(&name).into_owned();
        match name.ends_with("Exception") {
            true => eventstream::exception(&mut out, &name, &data),
            false => eventstream::event(&mut out, &name, &data),
        }
    }
    // What is no whole event is no whole frame.
    out.extend(rest.map(|(_, data)| data).unwrap_or_default());
    out
}

const CLIENTS: [Format; 4] =
    [Format::OpenAiChat, Format::AnthropicMessages, Format::OpenAiResponses, Format::GeminiGenerate];

/// The first byte chooses the format, the second where the stream is cut.
pub(super) fn cut(data: &[u8]) {
    let (chosen, data) = choice(data);
    let (at, stream) = choice(data);
    let format = CLIENTS[chosen % CLIENTS.len()];
    let usage = Usage { input: 30, cached_input: 10, output: 7, ..Usage::default() };
    let (before, after) = stream.split_at(stream.len() * at / 255);
    let ended = every_way(before, |pieces| {
        let mut cutter = Cutter::new(format);
        pieces.iter().for_each(|piece| cutter.feed(piece));
        let mut out = Vec::new();
        let wrote = cutter.finish(&usage, chosen & 64 == 0, &mut out);
        assert_eq!(wrote, cutter.at_boundary() && !cutter.is_over());
        assert_eq!(wrote, !out.is_empty());
        (cutter.boundary_in(after), cutter.is_over(), out)
    });
    let Some(more) = ended.0 else { return };
    let passed = &stream[..before.len() + more];
    let mut cutter = Cutter::new(format);
    cutter.feed(passed);
    assert!(cutter.at_boundary(), "a boundary that is none");
    let mut end = Vec::new();
    if !cutter.finish(&usage, chosen & 64 == 0, &mut end) {
        return;
    }
    wellformed::events(format, &end);
    let (mut meter, mut before) = (Meter::new(format, true), Meter::new(format, true));
    before.feed(passed);
    meter.feed(passed);
    meter.feed(&end);
    assert!(meter.complete(), "no end: {}", end.escape_ascii());
    assert_eq!(meter.malformed(), before.malformed());
}

/// A stream of chat chunks, of which nothing but usage goes.
pub(super) fn strip(data: &[u8]) {
    let out = every_way(data, |pieces| {
        let (mut stripper, mut out) = (UsageStripper::new(), Vec::new());
        pieces.iter().for_each(|piece| stripper.feed(piece, &mut out));
        stripper.finish(&mut out);
        out
    });
    if !data.windows(7).any(|window| window == b"\"usage\"") {
        assert_eq!(out, data, "nothing was to be taken out");
    }
    let (read, _) = events(&[data], usize::MAX).unwrap_or_default();
    if read.iter().any(|(_, data)| !wellformed::is_unique(data) && data != b"[DONE]") {
        return; // of members that stand twice nobody knows which one counts
    }
    let metered = |stream: &[u8]| {
        let mut meter = Meter::new(Format::OpenAiChat, true);
        meter.feed(stream);
        (meter.output_bytes(), meter.malformed(), meter.complete())
    };
    assert_eq!(metered(&out), metered(data), "{}", out.escape_ascii());
    // Taking out again finds nothing, wherever it is cut.
    let (mut stripper, mut again) = (UsageStripper::new(), Vec::new());
    out.chunks(Dice::of(data).below(40) + 1).for_each(|piece| stripper.feed(piece, &mut again));
    stripper.finish(&mut again);
    assert_eq!(again, out, "usage was left");
}
