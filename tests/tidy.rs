//! The house checks itself: layers, pure rooms, banned words, sizes, dead files, reasons.
//!
//! Everything that is a decision stands here as data; how it is checked stands in `tests/tidy/`, where every
//! check is also shown to fail. Whoever needs an exception adds a row with its reason; an exception that is
//! needed no longer is a fault too. Numbers may only fall. `cargo test --test tidy -- --nocapture` also tells
//! the largest files and functions, and which numbers could be lower.

#![allow(clippy::print_stdout)] // what is told and is no fault

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/lexer.rs"]
mod lexer;
#[path = "tidy/size.rs"]
mod size;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/words.rs"]
mod words;

use layers::Room;
use size::Sizes;
use source::{Exception, Fault, House};
use std::path::Path;
use std::sync::LazyLock;
use words::{Ban, Count};

/// The layers, from the ground up. A room imports only what its row names; siblings never import siblings.
#[rustfmt::skip]
const ROOMS: [Room; 14] = [
    Room { layer: 1, pure: true,  name: "base",        may: &[] },
    Room { layer: 2, pure: true,  name: "wire",        may: &["base"] },
    Room { layer: 2, pure: false, name: "runtime",     may: &["base"] },
    Room { layer: 3, pure: true,  name: "llm",         may: &["base", "wire"] },
    Room { layer: 3, pure: true,  name: "route",       may: &["base", "wire"] },
    Room { layer: 3, pure: true,  name: "limit",       may: &["base"] },
    Room { layer: 3, pure: true,  name: "telemetry",   may: &["base"] },
    Room { layer: 3, pure: true,  name: "access",      may: &["base", "wire"] },
    Room { layer: 4, pure: true,  name: "config",      may: &[
        "base", "wire", "llm", "route", "limit", "telemetry", "access"] },
    Room { layer: 5, pure: true,  name: "mail",        may: &["base", "limit", "telemetry", "access", "config"] },
    Room { layer: 6, pure: false, name: "proxy",       may: &[
        "base", "wire", "runtime", "llm", "route", "limit", "telemetry", "access", "config", "mail"] },
    Room { layer: 6, pure: false, name: "coordinator", may: &[
        "base", "wire", "runtime", "llm", "limit", "telemetry", "access", "config", "mail"] },
    Room { layer: 6, pure: false, name: "admin",       may: &[
        "base", "wire", "limit", "telemetry", "config", "mail"] },
    Room { layer: 7, pure: false, name: "app",         may: &[
        "base", "wire", "runtime", "llm", "route", "limit", "telemetry", "config", "mail",
        "proxy", "coordinator", "admin"] },
];

/// Pure files that may hold a lock.
const LOCKS: [Exception; 1] = [Exception {
    path: "src/mail/board.rs",
    reason: "holds what all threads read; a worker looks at it between requests, never within one",
}];

/// Files that read a clock. Everyone else is told the time.
const CLOCKS: [Exception; 2] = [
    Exception { path: "src/runtime/clock.rs", reason: "the clock" },
    Exception { path: "src/app/demo.rs", reason: "times its own run for the person who watches" },
];

/// Rooms that speak to a person.
const SPEAK: [&str; 3] = ["app", "coordinator", "admin"];

/// Files that hold `unsafe`.
const UNSAFE: [Exception; 19] = [
    Exception { path: "src/base/lanes.rs", reason: "instructions that every x86-64 has" },
    Exception { path: "src/runtime/driver/uring/buffers.rs", reason: "memory that the kernel writes into" },
    Exception { path: "src/runtime/driver/uring/mod.rs", reason: "submissions that point at memory" },
    Exception { path: "src/runtime/driver/epoll/calls.rs", reason: "the system calls of the control build" },
    Exception { path: "src/runtime/driver/epoll/mod.rs", reason: "is promised memory as submissions are" },
    Exception { path: "src/runtime/driver/epoll/tests.rs", reason: "keeps the driver's memory itself" },
    Exception { path: "src/runtime/driver/epoll/turn.rs", reason: "sends what it was promised" },
    Exception {
        path: "src/runtime/ring.rs",
        reason: "promises drivers that memory stays, closes what is left",
    },
    Exception { path: "src/runtime/listener.rs", reason: "takes over descriptors that the kernel gave" },
    Exception { path: "src/runtime/socket.rs", reason: "borrows a descriptor to set its options" },
    Exception { path: "src/runtime/outgoing.rs", reason: "addresses and vectors in the kernel's layout" },
    Exception { path: "src/runtime/mailbox.rs", reason: "rings and reads an eventfd" },
    Exception { path: "src/runtime/planted.rs", reason: "closes what an error is planted in place of" },
    Exception { path: "src/runtime/probe.rs", reason: "getrlimit" },
    Exception { path: "src/runtime/inherit.rs", reason: "takes over descriptors that systemd opened" },
    Exception { path: "src/runtime/privileges.rs", reason: "users and groups, for all threads" },
    Exception { path: "src/runtime/cores.rs", reason: "sched_getaffinity" },
    Exception { path: "tests/allocations_exchange.rs", reason: "an allocator that counts" },
    Exception { path: "tests/zeroized.rs", reason: "an allocator that looks at what is given back" },
];

/// Files that switch off the lint against `unsafe`.
const UNSAFE_SWITCHES: [Exception; 4] = [
    Exception { path: "src/base/lanes.rs", reason: "instructions that every x86-64 has" },
    Exception { path: "src/runtime/mod.rs", reason: "the room that speaks to the kernel" },
    Exception { path: "tests/allocations_exchange.rs", reason: "an allocator that counts" },
    Exception { path: "tests/zeroized.rs", reason: "an allocator that looks at what is given back" },
];

/// Banned in code.
const BANNED: [Ban; 6] = [
    Ban { word: "todo!", instead: "write it, or leave the feature out and say so in the docs" },
    Ban { word: "unimplemented!", instead: "write it, or leave the feature out and say so in the docs" },
    Ban { word: "dbg!", instead: "remove it; telemetry tells what is worth telling" },
    Ban {
        word: "#[ignore",
        instead: "mend the test, or delete it; a test that needs hardware says so and returns",
    },
    Ban { word: "static mut", instead: "an atomic, or a value that one thread owns" },
    Ban { word: "transmute", instead: "from_ne_bytes, a cast, or a match" },
];

/// Banned in comments.
const BANNED_COMMENTS: [Ban; 2] = [
    Ban { word: concat!("FIX", "ME"), instead: "do it now, or describe it in an issue" },
    Ban { word: concat!("X", "XX"), instead: "say in a sentence what is surprising" },
];

/// Banned in every file. Words are compared without case.
const BANNED_TEXTS: [Ban; 6] = [
    Ban { word: concat!("/wo", "rk/"), instead: "a path of one machine: write it from the project's root" },
    Ban { word: concat!("/ro", "ot/"), instead: "a path of one machine: write it from the project's root" },
    Ban { word: concat!("/ho", "me/"), instead: "a path of one machine: write it from the project's root" },
    Ban { word: concat!("agent ", "session"), instead: "the project speaks of itself alone" },
    Ban { word: concat!("sub", "agent"), instead: "the project speaks of itself alone" },
    Ban { word: concat!("TO", "DO("), instead: "do it now, or describe it in an issue" },
];
const TEXTS_EXCUSED: [Exception; 0] = [];

/// Places outside of tests that can panic by word: `.unwrap()`, `.expect(`, `panic!`, `unreachable!`. Rooms
/// without a row have none.
#[rustfmt::skip]
const PANICS: [Count; 3] = [
    Count { folder: "src/limit",     most: 1 },
    Count { folder: "src/telemetry", most: 2 },
    Count { folder: "loadtest/src",  most: 1 },
];

const SIZES: Sizes = Sizes { file_max: 700, function_max: 120, known: &[] };

/// Dependencies without a comment directly above.
const DEPENDENCIES_EXCUSED: [Exception; 1] =
    [Exception { path: "Cargo.toml: serde_json", reason: "the line above `serde` speaks of both" }];

/// Files of the library that begin without docs.
const DOCS_EXCUSED: [Exception; 0] = [];

static HOUSE: LazyLock<House> = LazyLock::new(|| House::read(Path::new(env!("CARGO_MANIFEST_DIR"))));

#[test]
fn rooms_import_only_what_their_row_names() {
    clean([layers::table(&HOUSE, &ROOMS), layers::imports(&HOUSE, &ROOMS)].concat());
}

#[test]
fn pure_rooms_name_nothing_of_the_world() {
    clean(words::purity(&HOUSE, &ROOMS, &LOCKS));
}

#[test]
fn clocks_are_read_in_one_place() {
    clean(words::clocks(&HOUSE, &CLOCKS));
}

#[test]
fn silent_rooms_do_not_print() {
    clean(words::prints(&HOUSE, &SPEAK));
}

#[test]
fn unsafe_has_few_rooms_and_each_use_its_reason() {
    clean(words::unsafety(&HOUSE, &UNSAFE, &UNSAFE_SWITCHES));
}

#[test]
fn banned_words_stand_nowhere() {
    let texts = tree::texts(&HOUSE, &BANNED_TEXTS, &TEXTS_EXCUSED);
    clean([words::bans(&HOUSE, &BANNED, &BANNED_COMMENTS), texts].concat());
}

#[test]
fn places_that_can_panic_become_fewer() {
    let (faults, lower) = words::panics(&HOUSE, &PANICS);
    lower.iter().for_each(|line| println!("{line}"));
    clean(faults);
}

#[test]
fn files_and_functions_stay_small() {
    for largest in [size::files(&HOUSE), size::functions(&HOUSE)] {
        largest.iter().take(5).for_each(|one| println!("{:4} lines: {}", one.lines, one.what));
    }
    clean(size::sizes(&HOUSE, &SIZES));
}

#[test]
fn every_file_is_used() {
    clean([tree::dead_files(&HOUSE), tree::dead_cases(&HOUSE)].concat());
}

#[test]
fn every_dependency_has_a_reason() {
    clean(tree::dependencies(&HOUSE, &DEPENDENCIES_EXCUSED));
}

#[test]
fn every_file_says_what_it_is() {
    clean(tree::docs(&HOUSE, &DOCS_EXCUSED));
}

#[track_caller]
fn clean(faults: Vec<Fault>) {
    let lines: Vec<String> = faults.into_iter().map(|fault| format!("  {}", fault.0)).collect();
    assert!(lines.is_empty(), "{} faults\n{}", lines.len(), lines.join("\n"));
}
