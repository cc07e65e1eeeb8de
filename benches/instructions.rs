//! Instructions of one run of each case, counted by callgrind: where times are noise, these repeat.
//!
//! `cargo bench --bench instructions` prints them beside the newest record, `-- --save` writes a record; words that
//! are no options choose the cases whose names hold one of them. How to read it: `benches/README.md`.
//!
//! The program runs itself under valgrind, once for each case: `--case NAME` makes the set-up, runs the case some
//! times until it is warm, and then in [`counted`], the only place where callgrind counts.

#![allow(clippy::print_stdout)] // it is a tool

#[path = "instructions/callgrind.rs"]
mod callgrind;
mod cases;
#[path = "instructions/record.rs"]
mod record;

use cases::json::{PROSE, chat};
use cases::{answer, head, json, limit, record as access_record, route, translate};
use record::{Facts, Record};
use std::path::Path;
use std::process::ExitCode;
use tollgate::llm::Format::{AnthropicMessages, OpenAiChat};

/// The program's own allocator, whose instructions are part of some cases.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs of a case before its runs are counted, so that its buffers have their size, and runs that are counted.
const WARM: u64 = 20;
const COUNTED: u64 = 50;

/// Something to count: its name, how many things one run does, and the set-up that returns the run.
struct Case(&'static str, u64, fn() -> Box<dyn FnMut()>);

const EVENTS: u64 = answer::EVENTS as u64;

#[rustfmt::skip]
const CASES: [Case; 26] = [
    Case("nothing, which is what each run costs", 1, || Box::new(|| ())),
    Case("head/request/minimal", 1, || Box::new(head::parse_request(head::MINIMAL))),
    Case("head/request/sdk", 1, || Box::new(head::parse_request(head::SDK))),
    Case("head/response", 1, || Box::new(head::parse_response())),
    Case("inspect/prose/1KiB", 1, || Box::new(json::inspect(chat(PROSE, 1 << 10)))),
    Case("inspect/prose/16KiB", 1, || Box::new(json::inspect(chat(PROSE, 16 << 10)))),
    Case("inspect/prose/256KiB", 1, || Box::new(json::inspect(chat(PROSE, 256 << 10)))),
    Case("inspect/tools/1KiB", 1, || Box::new(json::inspect(chat("", 1 << 10)))),
    Case("inspect/tools/16KiB", 1, || Box::new(json::inspect(chat("", 16 << 10)))),
    Case("edit/model and usage", 1, || Box::new(json::edit(chat(PROSE, 1 << 10)))),
    Case("answer/openai/meter", 1, || Box::new(answer::meter_whole())),
    Case("stream/openai/meter, per event", EVENTS, || Box::new(answer::meter_stream(OpenAiChat, answer::openai()))),
    Case("stream/anthropic/meter, per event", EVENTS, || {
        Box::new(answer::meter_stream(AnthropicMessages, answer::anthropic()))
    }),
    Case("translate/request to anthropic/1KiB", 1, || Box::new(translate::request(chat(PROSE, 1 << 10)))),
    Case("translate/answer of anthropic", 1, || Box::new(translate::reply())),
    Case("route/find/prefix/10", 1, || Box::new(route::find(&route::SHAPES[0], 10))),
    Case("route/find/prefix/10000", 1, || Box::new(route::find(&route::SHAPES[0], 10_000))),
    Case("route/find/host/10", 1, || Box::new(route::find(&route::SHAPES[1], 10))),
    Case("route/find/host/10000", 1, || Box::new(route::find(&route::SHAPES[1], 10_000))),
    Case("limit/reserve and settle/1", 1, || Box::new(limit::exchange(1))),
    Case("limit/reserve and settle/4", 1, || Box::new(limit::exchange(4))),
    Case("limit/reserve and settle/16", 1, || Box::new(limit::exchange(16))),
    Case("limit/standings/1", 1, || Box::new(limit::standings(1))),
    Case("limit/standings/4", 1, || Box::new(limit::standings(4))),
    Case("record/json line, no limits", 1, || Box::new(access_record::json_line(0))),
    Case("record/json line, 4 limits", 1, || Box::new(access_record::json_line(4))),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut counts, mut save, mut wanted) = (false, false, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => counts = true, // said by `cargo bench` and not by `cargo test`
            "--save" => save = true,
            "--case" => return run(&arguments.next().unwrap_or_default()),
            "--processor" => {
                println!("{}", callgrind::features());
                return ExitCode::SUCCESS;
            }
            option if option.starts_with('-') => {
                eprintln!("there is no {option}; there are --save and words that cases are chosen by");
                return ExitCode::from(2);
            }
            _ => wanted.push(argument),
        }
    }
    if save && !wanted.is_empty() {
        eprintln!("a record has all cases: --save goes without words");
        return ExitCode::from(2);
    }
    if !counts {
        CASES.iter().for_each(|Case(_, _, set_up)| set_up()());
        println!("{} cases run; `cargo bench --bench instructions` counts them", CASES.len());
        return ExitCode::SUCCESS;
    }
    match count(save, &wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Counts the cases whose names hold one of `wanted`, or all, and prints them beside the newest record.
fn count(save: bool, wanted: &[String]) -> Result<(), String> {
    let Some(valgrind) = callgrind::version() else {
        println!("valgrind is not installed: no instructions are counted");
        return Ok(());
    };
    let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/record");
    let before = Record::newest(&records)?;
    let facts = Facts::of_now(valgrind, callgrind::processor()?);
    if let Some((name, before)) = &before {
        println!("before: {name}, commit {}", before.facts.commit);
        facts.differences(&before.facts).for_each(|line| println!("{line}"));
    }
    println!("{}", record::headline());
    let mut now = Record { facts, rows: Vec::new() };
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    for Case(name, things, _) in CASES.iter().filter(|case| chosen(case.0)) {
        let things = COUNTED * things;
        let each = (callgrind::count(name)? + things / 2) / things;
        let earlier = before.as_ref().and_then(|(_, record)| record.get(name));
        println!("{}", record::line(name, each, earlier));
        now.rows.push((name.to_string(), each));
    }
    if save {
        println!("written: {}", now.save(&records)?);
    }
    Ok(())
}

/// What callgrind watches.
fn run(name: &str) -> ExitCode {
    let Some(Case(_, _, set_up)) = CASES.iter().find(|case| case.0 == name) else {
        eprintln!("there is no case {name:?}");
        return ExitCode::from(2);
    };
    let mut case = set_up();
    (0..WARM).for_each(|_| case());
    counted(&mut *case);
    ExitCode::SUCCESS
}

/// Callgrind counts while this runs and knows it by its name, so it stays a function.
#[inline(never)]
fn counted(case: &mut dyn FnMut()) {
    for _ in 0..COUNTED {
        case();
    }
}
