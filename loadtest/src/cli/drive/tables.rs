//! The tables of a report.

use super::cases::Kind;
use super::memory::{Held, Memory, Resident};
use super::report::{Report, event_cpu_us, first_us};
use super::rigs::Who;
use super::turn::Turn;
use crate::cli::kit::spread::shown;
use serde_json::Value;
use std::fmt::Write;

const ALL: [Who; 3] = [Who::Direct, Who::Tollgate, Who::Nginx];

/// The whole report.
pub(super) fn markdown(report: &Report) -> String {
    let mut text = String::from("# Streams, open loop and memory\n\n");
    setting(report, &mut text);
    targets(report, &mut text);
    first_events(report, &mut text);
    events(report, &mut text);
    gaps(report, &mut text);
    whole(report, &mut text);
    mixed(report, &mut text);
    memory(report, &mut text);
    idle(report, &mut text);
    notes(report, &mut text);
    checks(report, &mut text);
    text
}

/// A heading and the first two lines of a table.
fn table(text: &mut String, title: &str, says: &str, columns: &[&str]) {
    let _ = writeln!(
        text,
        "\n## {title}\n\n{says}\n\n| {} |\n|{}",
        columns.join(" | "),
        "---|".repeat(columns.len())
    );
}

fn setting(report: &Report, text: &mut String) {
    let plain = |value: &Value| value.as_str().map_or(value.to_string(), str::to_string);
    let Value::Object(setting) = &report.setting else { return };
    let parts: Vec<String> =
        setting.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
    let _ = writeln!(text, "{}.", parts.join("; "));
}

fn targets(report: &Report, text: &mut String) {
    let targets = report.targets();
    if targets.is_empty() {
        return;
    }
    let says = "What is aimed at, and what this run found: median of the rounds, lowest and highest.";
    table(text, "Targets", says, &["figure", "below", "found", ""]);
    for target in targets {
        let decimals = if target.below < 1.0 {
            5
        } else if target.below > 1000.0 {
            0
        } else {
            2
        };
        let _ = writeln!(
            text,
            "| {} | {} {} | {} | {} |",
            target.what,
            target.below,
            target.unit,
            shown(Some(target.found), decimals),
            if target.is_met() { "met" } else { "**missed**" }
        );
    }
}

/// The cases of a kind that were driven.
fn driven<'a>(report: &'a Report, is: impl Fn(Kind) -> bool + 'a) -> impl Iterator<Item = &'static str> + 'a {
    let was = |case: &str| report.turns.iter().any(|turn| turn.case == case);
    report.cases.iter().filter(move |case| is(case.kind) && was(case.name)).map(|case| case.name)
}

fn is_streams(kind: Kind) -> bool {
    matches!(kind, Kind::Streams { .. })
}

fn is_paced(kind: Kind) -> bool {
    matches!(kind, Kind::Streams { paced: true, .. })
}

fn first_events(report: &Report, text: &mut String) {
    let mut cases = driven(report, is_paced).peekable();
    if cases.peek().is_none() {
        return;
    }
    let says = "Microseconds from sending a request to the first event of its stream. Added is what is above the \
                provider's own in the same round, by median and by 99th percentile. `streams-E-cN` are N streams at once of E \
                events, paced by the provider.";
    table(
        text,
        "Time to the first event",
        says,
        &[
            "case",
            "direct p50",
            "direct p99",
            "tollgate added p50",
            "added p99",
            "nginx added p50",
            "added p99",
            "streams",
        ],
    );
    for case in cases {
        let p99 = |turn: &Turn| turn.tally.first.sent.percentile(99.0) as f64 / 1e3;
        let direct =
            |figure: &dyn Fn(&Turn) -> f64| report.spread(case, Who::Direct, |turn| Some(figure(turn)));
        let streams: u64 =
            report.turns_of(case, Who::Tollgate).map(|turn| turn.tally.first.sent.count()).sum();
        let _ = writeln!(
            text,
            "| {case} | {} | {} | {} | {} | {} | {} | {streams} |",
            shown(direct(&first_us), 0),
            shown(direct(&p99), 0),
            shown(report.added(case, Who::Tollgate, first_us), 0),
            shown(report.added(case, Who::Tollgate, p99), 0),
            shown(report.added(case, Who::Nginx, first_us), 0),
            shown(report.added(case, Who::Nginx, p99), 0),
        );
    }
}

fn events(report: &Report, text: &mut String) {
    let mut cases = driven(report, is_streams).peekable();
    if cases.peek().is_none() {
        return;
    }
    let says = "Microseconds of the proxy's CPU for each event delivered, the request's own cost included. A paced event \
                comes alone and is sent on alone; of `burst-E-cN`, N streams at once as fast as they go, many come at once.";
    table(
        text,
        "CPU for each event",
        says,
        &[
            "case",
            "tollgate",
            "nginx",
            "tollgate / nginx",
            "events/s direct",
            "tollgate",
            "nginx",
            "at once",
            "load's CPU",
        ],
    );
    for case in cases {
        let cpu = |who| shown(report.spread(case, who, event_cpu_us), 2);
        let rate = |who| {
            let rate = |turn: &Turn| Some(turn.tally.events as f64 / turn.tally.elapsed.as_secs_f64());
            shown(report.spread(case, who, rate), 0)
        };
        let open = report.turns_of(case, Who::Tollgate).map(|turn| turn.tally.open).min().unwrap_or(0);
        let busy = |turn: &Turn| Some(turn.load_share());
        let _ = writeln!(
            text,
            "| {case} | {} | {} | {} | {} | {} | {} | {open} | {} |",
            cpu(Who::Tollgate),
            cpu(Who::Nginx),
            shown(report.ratio(case, Who::Tollgate, Who::Nginx, event_cpu_us), 2),
            rate(Who::Direct),
            rate(Who::Tollgate),
            rate(Who::Nginx),
            shown(report.spread(case, Who::Tollgate, busy), 2),
        );
    }
}

fn gaps(report: &Report, text: &mut String) {
    let mut cases = driven(report, is_paced).peekable();
    if cases.peek().is_none() {
        return;
    }
    let says = "Microseconds from one event to the next as the client sees them, beside the provider's own pace, and \
                output tokens per second of a stream (the provider reports one for each piece of text).";
    table(
        text,
        "Gaps between events",
        says,
        &["case", "pace", "who", "p50", "p99", "p99.9", "max", "added p50", "added p99", "tokens/s p50"],
    );
    for case in cases {
        let pace = report.gaps_us.iter().find(|(name, _)| *name == case).map_or(0.0, |(_, gap)| *gap);
        for who in ALL.into_iter().filter(|who| report.turns_of(case, *who).next().is_some()) {
            let at = |percent| move |turn: &Turn| turn.tally.gaps.percentile(percent) as f64 / 1e3;
            let gap = |percent| shown(report.spread(case, who, |turn| Some(at(percent)(turn))), 0);
            let max = shown(report.spread(case, who, |turn| Some(turn.tally.gaps.max() as f64 / 1e3)), 0);
            let added = |percent| match who {
                Who::Direct => "–".to_string(),
                _ => shown(report.added(case, who, at(percent)), 0),
            };
            let speed = |turn: &Turn| Some(turn.tally.speeds.percentile(50.0) as f64);
            let _ = writeln!(
                text,
                "| {case} | {pace:.0} | {} | {} | {} | {} | {max} | {} | {} | {} |",
                who.name(),
                gap(50.0),
                gap(99.0),
                gap(99.9),
                added(50.0),
                added(99.0),
                shown(report.spread(case, who, speed), 0),
            );
        }
    }
}

fn whole(report: &Report, text: &mut String) {
    let is = |kind| matches!(kind, Kind::Open { .. } | Kind::Closed { .. });
    let says = "Microseconds to the last byte of a whole answer. `open-R` plans R requests per second and counts from the \
                planned instant (coordinated omission corrected); `uncorrected` counts from the instant of sending. What was \
                planned and not sent is told.";
    answers(report, text, "Whole answers", says, is, |turn| &turn.tally.whole);
}

fn mixed(report: &Report, text: &mut String) {
    let is = |kind| matches!(kind, Kind::Mixed { .. });
    let says = "Seven of ten requests are answered whole, two by streams of 64 events at 1 ms, and of one more the client \
                leaves after 8 events. Microseconds to the last byte of whole answers, counted as above;";
    answers(report, text, "Mixed: whole answers", says, is, |turn| &turn.tally.whole);
    let says = "and to the first event of streams.";
    answers(report, text, "Mixed: first events", says, is, |turn| &turn.tally.first);
}

fn answers(
    report: &Report,
    text: &mut String,
    title: &str,
    says: &str,
    is: impl Fn(Kind) -> bool,
    delay: impl Fn(&Turn) -> &tollgate_loadtest::client::Delay + Copy,
) {
    let mut cases = driven(report, is).peekable();
    if cases.peek().is_none() {
        return;
    }
    let columns = [
        "case",
        "who",
        "p50",
        "p99",
        "p99.9",
        "max",
        "uncorrected p50",
        "p99",
        "answers/s",
        "CPU µs/answer",
        "not sent",
        "load's CPU",
    ];
    table(text, title, says, &columns);
    for case in cases {
        for who in ALL.into_iter().filter(|who| report.turns_of(case, *who).next().is_some()) {
            let us = |nanos: u64| Some(nanos as f64 / 1e3);
            let planned = |percent| {
                shown(report.spread(case, who, |turn| us(delay(turn).planned.percentile(percent))), 0)
            };
            let sent =
                |percent| shown(report.spread(case, who, |turn| us(delay(turn).sent.percentile(percent))), 0);
            let not_sent: u64 = report.turns_of(case, who).map(|turn| turn.tally.not_sent).sum();
            let _ = writeln!(
                text,
                "| {case} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {not_sent} | {} |",
                who.name(),
                planned(50.0),
                planned(99.0),
                planned(99.9),
                shown(report.spread(case, who, |turn| us(delay(turn).planned.max())), 0),
                sent(50.0),
                sent(99.0),
                shown(report.spread(case, who, |turn| Some(turn.rate())), 0),
                shown(report.spread(case, who, |turn| turn.cpu_us_per(turn.tally.completed)), 1),
                shown(report.spread(case, who, |turn| Some(turn.load_share())), 2),
            );
        }
    }
}

fn memory(report: &Report, text: &mut String) {
    if report.memory.is_empty() {
        return;
    }
    let says = "Resident memory of the proxy's processes, of which its own (anonymous) in parentheses; what the kernel holds \
                for its sockets is not part of it. Load, idle connections and open streams have a fresh process each.";
    let mut columns = vec![""];
    columns.extend(report.memory.iter().map(|memory| memory.who.name()));
    table(text, "Memory", says, &columns);
    let size = |resident: Resident| {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        format!("{:.2} MiB ({:.2})", mib(resident.rss), mib(resident.anonymous))
    };
    let mut row = |name: &str, figure: &dyn Fn(&Memory) -> String| {
        let figures: Vec<String> = report.memory.iter().map(figure).collect();
        let _ = writeln!(text, "| {name} | {} |", figures.join(" | "));
    };
    row("at rest, asked nothing", &|memory| size(memory.rest));
    row("under load, 64 connections, the most seen", &|memory| size(memory.load));
    row("afterwards", &|memory| size(memory.after_load));
    type Pick = fn(&Memory) -> Held;
    let held: [(&str, Pick); 2] =
        [("idle connections", |memory| memory.connections), ("open streams", |memory| memory.streams)];
    for (what, held) in held {
        let count = report.memory.iter().map(|memory| held(memory).count).max().unwrap_or(0);
        row("asked once", &|memory| size(held(memory).before));
        row(&format!("with {count} {what}"), &|memory| size(held(memory).held));
        row("for each of them", &|memory| format!("{:.0} bytes", held(memory).each()));
        row("when they have ended", &|memory| size(held(memory).after));
    }
}

fn idle(report: &Report, text: &mut String) {
    if report.idle.is_empty() {
        return;
    }
    let says = "A process that was asked once and then nothing.";
    table(text, "Idle", says, &["who", "CPU, part of a core", "watched", "resident"]);
    for idle in &report.idle {
        let (share, mib) = (idle.share() * 100.0, idle.resident.rss as f64 / 1_048_576.0);
        let (who, seconds) = (idle.who.name(), idle.watched.as_secs_f64());
        let _ = writeln!(text, "| {who} | {share:.3} % | {seconds:.1} s | {mib:.2} MiB |");
    }
}

fn notes(report: &Report, text: &mut String) {
    for note in &report.notes {
        let _ = writeln!(text, "\nNote: {note}.");
    }
    let bound: Vec<&Turn> = report.turns.iter().filter(|turn| turn.load_share() > 0.9).collect();
    if let Some(first) = bound.first() {
        let _ = writeln!(
            text,
            "\nNote: in {} turns ({} is the first) client and provider used more than nine tenths of their CPU: there it is \
             they that bound the rate, and latencies hold their queue.",
            bound.len(),
            first.case
        );
    }
}

fn checks(report: &Report, text: &mut String) {
    let checks = report.checks();
    let failed: Vec<_> = checks.iter().filter(|(_, check)| !check.holds).collect();
    let answers: u64 = report.turns.iter().map(|turn| turn.tally.completed).sum();
    let _ = writeln!(
        text,
        "\n## Checks\n\n{answers} answers were compared with what the provider must have said, content and usage. {} of {} \
         checks of answers and ledgers hold.",
        checks.len() - failed.len(),
        checks.len()
    );
    for (place, check) in failed {
        let _ = writeln!(text, "- **{place}: {}: {}**", check.what, check.found.replace('\n', " "));
    }
}
