//! Words that may not stand in code, or only in some rooms: each with what to write instead.

use super::layers::Room;
use super::source::{Exception, Fault, House, Source, behind, words};
use std::collections::BTreeMap;

/// A word and what to write in its place.
pub(crate) struct Ban {
    pub(crate) word: &'static str,
    pub(crate) instead: &'static str,
}

/// A room (`src/limit`) or a package's source, and how often something that can panic stands there.
pub(crate) struct Count {
    pub(crate) folder: &'static str,
    pub(crate) most: usize,
}

/// What a pure room may not name, whatever path leads to it.
const IMPURE: [Ban; 14] = [
    Ban { word: "TcpStream", instead: "eat bytes and give bytes; proxy and runtime hold the socket" },
    Ban { word: "TcpListener", instead: "eat bytes and give bytes; proxy and runtime hold the socket" },
    Ban { word: "UdpSocket", instead: "eat bytes and give bytes; runtime holds the socket" },
    Ban { word: "UnixStream", instead: "eat bytes and give bytes; runtime holds the socket" },
    Ban { word: "UnixListener", instead: "eat bytes and give bytes; runtime holds the socket" },
    Ban { word: "ToSocketAddrs", instead: "take a SocketAddr; the coordinator resolves names" },
    Ban { word: "Instant", instead: "take a base::Tick as an argument" },
    Ban { word: "SystemTime", instead: "take the time as an argument" },
    Ban { word: "async", instead: "a function that returns what to do next; proxy awaits" },
    Ban { word: "await", instead: "a function that returns what to do next; proxy awaits" },
    Ban { word: "io_uring", instead: "runtime speaks to the kernel" },
    Ban { word: "glommio", instead: "runtime speaks to the kernel" },
    Ban { word: "libc", instead: "runtime speaks to the kernel" },
    Ban { word: "socket2", instead: "runtime speaks to the kernel" },
];

/// Modules of `std` that a pure room may not name.
const IMPURE_STD: [Ban; 4] = [
    Ban { word: "fs", instead: "take the text; app and coordinator read files" },
    Ban { word: "thread", instead: "a value that its owner moves; app starts threads" },
    Ban { word: "process", instead: "return a value; app ends the process" },
    Ban { word: "env", instead: "take the value or a function that looks it up; app reads the environment" },
];

const LOCKS: [&str; 3] = ["Mutex", "RwLock", "Condvar"];
const PRINTS: [&str; 4] = ["println!", "print!", "eprintln!", "eprint!"];

/// Pure rooms decide; they name nothing of the world.
pub(crate) fn purity(house: &House, rooms: &[Room], locks: &[Exception]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, source) in house.rooms() {
        if !rooms.iter().any(|room| room.pure && Some(room.name) == name) {
            continue;
        }
        let pure = format!("`{}` is pure", name.unwrap_or_default());
        for ban in &IMPURE {
            for at in outside_tests(source, ban.word) {
                faults.push(source.fault(
                    at,
                    "purity",
                    format_args!("{pure}: no `{}`; {}", ban.word, ban.instead),
                ));
            }
        }
        for (at, module) in behind(&source.code, "std").filter(|(at, _)| !source.in_test(*at)) {
            if let Some(ban) = IMPURE_STD.iter().find(|ban| ban.word == module) {
                faults.push(source.fault(
                    at,
                    "purity",
                    format_args!("{pure}: no `std::{module}`; {}", ban.instead),
                ));
            }
        }
        let lock = LOCKS.iter().flat_map(|lock| outside_tests(source, lock).map(move |at| (at, lock)));
        if locks.iter().all(|exception| exception.path != source.path) {
            faults.extend(lock.map(|(at, lock)| {
                source.fault(at, "purity", format_args!("{pure}: no `{lock}`; atomics, or a message by mail"))
            }));
        }
    }
    faults.extend(unneeded(house, locks, "purity", |source| LOCKS.iter().any(|lock| has(source, lock))));
    faults
}

/// The clock is read in one place, so that a simulation can replace it.
pub(crate) fn clocks(house: &House, allowed: &[Exception]) -> Vec<Fault> {
    const READS: [&str; 4] = ["Instant::now", "SystemTime::now", "UNIX_EPOCH.elapsed", ".elapsed()"];
    let mut faults = Vec::new();
    for (_, source) in house.rooms().filter(|(_, source)| allowed.iter().all(|file| file.path != source.path))
    {
        for read in READS {
            faults.extend(outside_tests(source, read).map(|at| {
                source.fault(
                    at,
                    "clocks",
                    format_args!("`{read}`: ask runtime::clock, or take a Tick as an argument"),
                )
            }));
        }
    }
    faults.extend(unneeded(house, allowed, "clocks", |source| READS.iter().any(|read| has(source, read))));
    faults
}

/// Only rooms that speak to a person print.
pub(crate) fn prints(house: &House, speak: &[&str]) -> Vec<Fault> {
    let silent = house.rooms().filter(|(room, _)| !room.is_some_and(|room| speak.contains(&room)));
    let printed = silent.flat_map(|(_, source)| {
        let found = PRINTS.iter().flat_map(|print| outside_tests(source, print).map(move |at| (at, print)));
        found.map(|(at, print)| {
            let instead = "count it in telemetry, or return it to who speaks";
            source.fault(
                at,
                "prints",
                format_args!("`{print}` in a room that is silent ({} speak): {instead}", speak.join(", ")),
            )
        })
    });
    printed.collect()
}

/// Words that stand nowhere: in code, and in comments.
pub(crate) fn bans(house: &House, code: &[Ban], comments: &[Ban]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in house.sources.values() {
        for (text, bans) in [(&source.code, code), (&source.comments, comments)] {
            for ban in bans {
                faults.extend(
                    words(text, ban.word)
                        .map(|at| source.fault(at, "bans", format_args!("`{}`: {}", ban.word, ban.instead))),
                );
            }
        }
    }
    faults
}

/// What can panic by word, counted outside of tests for each room and for other packages whole. The numbers
/// may only fall: too many are faults, and what could be lower is told.
pub(crate) fn panics(house: &House, counts: &[Count]) -> (Vec<Fault>, Vec<String>) {
    const WORDS: [&str; 4] = [".unwrap()", ".expect(", "panic!", "unreachable!"];
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for source in house.sources.values() {
        let folder: Vec<&str> = source.path.split('/').take(2).collect();
        let here = places.entry(folder.join("/")).or_default();
        let mut found: Vec<usize> = WORDS.iter().flat_map(|word| outside_tests(source, word)).collect();
        found.sort_unstable();
        here.extend(found.into_iter().map(|at| format!("{}:{}", source.path, source.line(at))));
    }
    let (mut faults, mut lower) = (Vec::new(), Vec::new());
    for (folder, found) in places {
        let (now, most) =
            (found.len(), counts.iter().find(|row| row.folder == folder).map_or(0, |row| row.most));
        if now > most {
            let places = found.join(", ");
            let instead = "return an error, give a default, or let the type say it cannot happen";
            faults.push(Fault(format!(
                "{places}: panics: {now} places of {folder} can panic by word, there may be {most}: {instead}"
            )));
        } else if now < most {
            lower.push(format!("{folder}: {now} places can panic by word: write that instead of {most}"));
        }
    }
    (faults, lower)
}

/// `unsafe` stands in listed files only, each time under a reason; and the lint is switched off in listed
/// files only.
pub(crate) fn unsafety(house: &House, files: &[Exception], switches: &[Exception]) -> Vec<Fault> {
    const REASON_LINES: usize = 6;
    const SAFE: &str = "use a safe API, or argue for a row in tests/tidy.rs";
    let mut faults = Vec::new();
    for source in house.sources.values() {
        let listed = files.iter().any(|file| file.path == source.path);
        for at in words(&source.code, "unsafe") {
            if !listed {
                let says = format!("`unsafe` in a file that is not listed: {SAFE}");
                faults.push(source.fault(at, "unsafe", says));
            }
            let line = source.line(at);
            let above =
                source.comments.lines().skip(line.saturating_sub(REASON_LINES + 1)).take(REASON_LINES + 1);
            if !above.clone().any(|comment| comment.contains("SAFETY:") || comment.contains("# Safety")) {
                let instead = "say `// SAFETY:` why it holds, or `# Safety` what callers owe";
                let says = format!("no reason in the {REASON_LINES} lines above: {instead}");
                faults.push(source.fault(at, "unsafe", says));
            }
        }
        if switches.iter().all(|file| file.path != source.path) {
            faults.extend(words(&source.code, "unsafe_code").map(|at| {
                let says = format!("the lint is switched here and the file is not listed: {SAFE}");
                source.fault(at, "unsafe", says)
            }));
        }
    }
    faults.extend(unneeded(house, files, "unsafe", |source| words(&source.code, "unsafe").next().is_some()));
    faults.extend(unneeded(house, switches, "unsafe", |source| {
        words(&source.code, "unsafe_code").next().is_some()
    }));
    faults
}

/// Exceptions of files that do not need them any more. A row whose file is gone excuses nothing.
fn unneeded(
    house: &House,
    exceptions: &[Exception],
    rule: &str,
    needs: impl Fn(&Source) -> bool,
) -> Vec<Fault> {
    let faults = exceptions.iter().filter_map(|exception| {
        let unneeded = house.sources.get(exception.path).is_some_and(|source| !needs(source));
        let says =
            format!("needs no exception any more ({}): remove its row from tests/tidy.rs", exception.reason);
        unneeded.then(|| Fault::at(exception.path, 1, rule, says))
    });
    faults.collect()
}

fn outside_tests<'a>(source: &'a Source, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    words(&source.code, word).filter(|at| !source.in_test(*at))
}

fn has(source: &Source, word: &str) -> bool {
    outside_tests(source, word).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: [Room; 2] = [
        Room { layer: 1, name: "limit", may: &[], pure: true },
        Room { layer: 2, name: "proxy", may: &["limit"], pure: false },
    ];

    fn check(faults: Vec<Fault>, expected: &[&str]) {
        let said: Vec<String> = faults.into_iter().map(|fault| fault.0).collect();
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for line in expected {
            assert!(said.iter().any(|fault| fault.contains(line)), "{line}: {said:#?}");
        }
    }

    fn file(text: &str) -> House {
        House::of(&[("src/limit/a.rs", text)])
    }

    #[test]
    fn purity_names_each_thing_of_the_world() {
        let rows = [
            ("use std::net::{IpAddr, SocketAddr}; use std::time::Duration; // TcpStream", ""),
            ("#[cfg(test)]\nmod tests { fn f() { std::thread::scope(|s| ()); } }", ""),
            (
                "\nuse std::net::TcpStream;",
                "src/limit/a.rs:2: purity: `limit` is pure: no `TcpStream`; eat bytes",
            ),
            ("use std::{fmt, fs};", "no `std::fs`; take the text"),
            ("fn f() { std::thread::spawn(g); }", "no `std::thread`; a value that its owner moves"),
            ("fn f() { std::process::exit(1) }", "no `std::process`"),
            ("fn f() { std::env::var(\"A\"); }", "no `std::env`; take the value"),
            ("use std::time::{Duration, Instant};", "no `Instant`; take a base::Tick"),
            ("fn f(t: std::time::SystemTime) {}", "no `SystemTime`"),
            ("async fn f() {}", "no `async`; a function that returns"),
            ("fn f() { async move { 1 }; }", "no `async`"),
            ("fn f() { g().await }", "no `await`"),
            ("use std::sync::Mutex;", "no `Mutex`; atomics"),
            ("use libc::read;", "no `libc`; runtime speaks to the kernel"),
        ];
        for (text, expected) in rows {
            let expected: &[&str] = if expected.is_empty() { &[] } else { &[expected] };
            check(purity(&file(text), &ROOMS, &[]), expected);
        }
        let impure = House::of(&[("src/proxy/a.rs", "use std::fs; async fn f() {}")]);
        check(purity(&impure, &ROOMS, &[]), &[]);
    }

    #[test]
    fn exceptions_count_only_while_they_are_needed() {
        let locks = [Exception { path: "src/limit/a.rs", reason: "the board" }];
        check(purity(&file("use std::sync::Mutex;"), &ROOMS, &locks), &[]);
        check(
            purity(&file(""), &ROOMS, &locks),
            &["src/limit/a.rs:1: purity: needs no exception any more (the board)"],
        );
    }

    #[test]
    fn clocks_are_read_in_listed_files() {
        let house = House::of(&[("src/proxy/a.rs", "fn f() { Instant::now(); since.elapsed(); }")]);
        check(
            clocks(&house, &[]),
            &["src/proxy/a.rs:1: clocks: `Instant::now`: ask runtime::clock", "`.elapsed()`"],
        );
        check(clocks(&house, &[Exception { path: "src/proxy/a.rs", reason: "it is the clock" }]), &[]);
        check(clocks(&file("#[cfg(test)] mod tests { fn f() { Instant::now() } }"), &[]), &[]);
    }

    #[test]
    fn silent_rooms_do_not_print() {
        let house = House::of(&[
            ("src/proxy/a.rs", "fn f() { eprintln!(\"x\") }"),
            ("src/app/a.rs", "fn f() { println!() }"),
        ]);
        check(
            prints(&house, &["app"]),
            &["src/proxy/a.rs:1: prints: `eprintln!` in a room that is silent (app speak)"],
        );
    }

    #[test]
    fn banned_words_name_their_replacement() {
        let code = [Ban { word: "dbg!", instead: "remove it" }, Ban { word: "#[ignore", instead: "mend it" }];
        let comments = [Ban { word: concat!("FIX", "ME"), instead: "do it now" }];
        let text = format!(
            "// {}: x\nfn f() {{ dbg!(1); g(\"dbg!\"); }}\n#[ignore = \"x\"]\nfn t() {{}}",
            comments[0].word
        );
        let expected = [
            "src/limit/a.rs:2: bans: `dbg!`: remove it",
            "a.rs:3: bans: `#[ignore`: mend it",
            "a.rs:1: bans: `FIX",
        ];
        check(bans(&file(&text), &code, &comments), &expected);
    }

    #[test]
    fn places_that_can_panic_may_only_become_fewer() {
        let house = file(
            "fn f() { a.unwrap(); b.expect(\"c\"); d.expect_err(\"e\") }\n#[test]\nfn t() { x.unwrap() }",
        );
        let row = |most| [Count { folder: "src/limit", most }];
        let expected = "src/limit/a.rs:1: panics: 2 places of src/limit can panic by word, there may be ";
        check(panics(&house, &row(1)).0, &[&format!("{expected}1")]);
        check(panics(&house, &[]).0, &[&format!("{expected}0")]);
        check(panics(&house, &row(2)).0, &[]);
        assert!(panics(&house, &row(2)).1.is_empty());
        assert_eq!(
            panics(&house, &row(3)).1,
            ["src/limit: 2 places can panic by word: write that instead of 3"]
        );
    }

    #[test]
    fn unsafe_needs_a_row_and_a_reason() {
        let listed = [Exception { path: "src/limit/a.rs", reason: "the kernel" }];
        let reasoned = "// SAFETY: it is there.\nlet x = unsafe { y };";
        check(unsafety(&file(reasoned), &listed, &[]), &[]);
        check(
            unsafety(&file(reasoned), &[], &[]),
            &["src/limit/a.rs:2: unsafe: `unsafe` in a file that is not listed"],
        );
        check(
            unsafety(&file("unsafe { y }"), &listed, &[]),
            &["src/limit/a.rs:1: unsafe: no reason in the 6 lines above"],
        );
        check(unsafety(&file("/// # Safety\n/// Callers hold x.\nunsafe fn f() {}"), &listed, &[]), &[]);
        check(unsafety(&file("// unsafe"), &listed, &[]), &["needs no exception any more (the kernel)"]);
        check(unsafety(&file("#![allow(unsafe_code)]"), &[], &[]), &["the lint is switched here"]);
        check(unsafety(&file("#![allow(unsafe_code)]"), &[], &listed), &[]);
    }
}
