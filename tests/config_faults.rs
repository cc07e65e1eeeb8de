//! Faulty configurations and what is said about them: one case per row of `golden/config/*.cases`.
//!
//! A case begins with `== title` and changes the five manifests of the walkthrough:
//!
//! ```text
//! edit FILE          then lines -OLD and +NEW; OLD stands in the file exactly once
//! file NAME          then lines |TEXT: another file; <CRT_A> stands for the variable's value within double quotes
//! drop FILE          without this one
//! drop all           without any
//! set NAME VALUE     with this environment variable
//! unset NAME         without this environment variable; CRT_A, PEM_A, CRT_B and PEM_B are certificates and their keys
//! host HOST TO       a host override on the command line
//! listen PORT ADDR   a listener override on the command line
//! expect             then lines >TEXT: faults, or else `ok`, warnings, and the report when it is asked for
//! report             show the report
//! conditions         show the conditions of all resources in its place, then faults that none of them tells
//! ```
//!
//! `BLESS=1 cargo test --test config_faults` rewrites what stands after `expect`; read the difference before
//! it is committed.

#[path = "config_faults/conditions.rs"]
mod conditions;
#[path = "config_faults/fields.rs"]
mod fields;
mod support;

use proptest::prelude::*;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tollgate::app::conditions::table;
use tollgate::config::{Overrides, Settings, Source, conditions, load, load_with_prices};

const WALKTHROUGH: [(&str, &str); 5] = [
    ("1-secret.yaml", include_str!("../config/walkthrough/1-secret.yaml")),
    ("2-gateway.yaml", include_str!("../config/walkthrough/2-gateway.yaml")),
    ("3-backend.yaml", include_str!("../config/walkthrough/3-backend.yaml")),
    ("4-httproute.yaml", include_str!("../config/walkthrough/4-httproute.yaml")),
    ("5-trafficpolicy.yaml", include_str!("../config/walkthrough/5-trafficpolicy.yaml")),
];
const EXAMPLE: &str = include_str!("../config/example.yaml");
const HTTPS: &str = include_str!("../config/https.yaml");
const PRICES: &str = include_str!("../config/prices.yaml");

#[test]
fn what_is_said_about_every_case() {
    let mut cases = 0;
    for file in case_files() {
        let text = std::fs::read_to_string(&file).expect("a case file");
        let mut blessed = String::new();
        for case in text.split("\n== ").map(|case| case.strip_prefix("== ").unwrap_or(case)) {
            let (asked, expected) =
                case.split_once("\nexpect").unwrap_or_else(|| panic!("no expect: {case}"));
            let said = said_about(asked);
            let shown: String = said.lines().map(|line| format!(">{line}\n")).collect();
            let _ =
                write!(blessed, "{}== {asked}\nexpect\n{shown}", if blessed.is_empty() { "" } else { "\n" });
            if std::env::var_os("BLESS").is_none() {
                assert_eq!(expected.trim(), shown.trim(), "{}: {asked}", file.display());
            }
            cases += 1;
        }
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, blessed).expect("a case file that can be written");
        }
    }
    assert!(cases >= 60, "{cases} cases");
}

#[test]
fn the_example_and_the_prices_are_without_fault() {
    let env = |name: &str| name.ends_with("_API_KEY").then(|| format!("key-of-{name}"));
    let prices = Source { name: "prices.yaml", text: PRICES };
    let example = Source { name: "example.yaml", text: EXAMPLE };
    let snapshot = load_with_prices(prices, &[example], &env, &Overrides::default())
        .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(snapshot.warnings, []);
    let mut defaults = Settings::default();
    defaults.limits.store = Some("/var/lib/tollgate".into());
    assert_eq!(snapshot.settings, defaults, "the example shows the defaults, but for the store");
    let report = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config/example.report");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&report, snapshot.report.to_string()).expect("a report that can be written");
    }
    assert_eq!(snapshot.report.to_string(), std::fs::read_to_string(&report).expect("the report"));
    let haiku =
        snapshot.catalogue.find("anthropic", "claude-3-5-haiku-latest").expect("the walkthrough's model");
    let haiku = snapshot.catalogue.get(haiku).expect("its price").price.base;
    let nano = (haiku.input, haiku.cached_input, haiku.cache_write, haiku.output);
    assert_eq!(nano, (800_000_000, 80_000_000, 1_000_000_000, 4_000_000_000));
}

fn case_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let entries = std::fs::read_dir(folder).expect("the folder of cases");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "cases"));
    files.sort();
    files
}

/// A configuration in the making.
struct Case {
    files: Vec<(String, String)>,
    set: Vec<(String, String)>,
    unset: Vec<String>,
    overrides: Overrides,
    wants_report: bool,
    wants_conditions: bool,
}

fn said_about(asked: &str) -> String {
    let files = WALKTHROUGH.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
    let (set, unset) = (Vec::new(), Vec::new());
    let overrides = Overrides::default();
    let mut case = Case { files, set, unset, overrides, wants_report: false, wants_conditions: false };
    let mut lines = asked.lines().skip(1).peekable();
    while let Some(line) = lines.next() {
        let mut block = |mark: char| {
            let mut text = Vec::new();
            while let Some(line) = lines.next_if(|line| line.starts_with(mark)) {
                text.push(&line[1..]);
            }
            text.join("\n")
        };
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["edit", name] => {
                let (old, new) = (block('-'), block('+'));
                let (_, text) = case.files.iter_mut().find(|(file, _)| file == name).expect("a known file");
                assert_eq!(text.matches(&old).count(), 1, "{old:?} in {name}: {asked}");
                *text = text.replace(&old, &new.replace("<TAB>", "\t"));
            }
            ["file", name] => {
                let text = block('|').replace("<TAB>", "\t").replace("<CRT_A>", &quoted("CRT_A"));
                case.files.push((name.to_string(), text));
            }
            ["drop", "all"] => case.files.clear(),
            ["drop", name] => case.files.retain(|(file, _)| file != name),
            ["set", name, value] => case.set.push((name.to_string(), value.to_string())),
            ["unset", name] => case.unset.push(name.to_string()),
            ["host", host, to] => case.overrides.hosts.push((host.to_string(), to.to_string())),
            ["listen", port, address] => {
                case.overrides.listeners.push((port.parse().expect("a port"), address.to_string()));
            }
            ["report"] => case.wants_report = true,
            ["conditions"] => case.wants_conditions = true,
            _ => panic!("not an instruction: {line}"),
        }
    }
    said(&case)
}

fn said(case: &Case) -> String {
    let sources: Vec<Source<'_>> = case.files.iter().map(|(name, text)| Source { name, text }).collect();
    let env = |name: &str| {
        if let Some((_, value)) = case.set.iter().find(|(set, _)| set == name) {
            return Some(value.clone());
        }
        let value = certificate(name).or_else(|| name.ends_with("_KEY").then(|| "sk-test".into()));
        value.filter(|_| !case.unset.iter().any(|unset| unset == name))
    };
    if case.wants_conditions {
        let found = conditions(Source { name: "prices.yaml", text: "" }, &sources, &env, &case.overrides);
        let faults = found.in_force.err().map(|faults| faults.to_string()).unwrap_or_default();
        return table(&found.resources) + &faults;
    }
    match load(&sources, &env, &case.overrides) {
        Err(faults) => faults.to_string(),
        Ok(snapshot) => {
            let warnings: String =
                snapshot.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            let report = if case.wants_report { snapshot.report.to_string() } else { String::new() };
            format!("ok\n{warnings}{report}")
        }
    }
}

/// The variables `CRT_A` and `PEM_A`, a certificate for `a.example.com` and its key, and `CRT_B` and `PEM_B`, another's.
fn certificate(variable: &str) -> Option<String> {
    static MADE: LazyLock<[[String; 2]; 2]> = LazyLock::new(|| {
        ["a.example.com", "b.example.com"].map(|name| {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
            [made.cert.pem(), made.signing_key.serialize_pem()]
        })
    });
    let place = ["CRT_A", "PEM_A", "CRT_B", "PEM_B"].iter().position(|known| *known == variable)?;
    Some(MADE[place / 2][place % 2].clone())
}

/// A certificate as it stands within double quotes.
fn quoted(variable: &str) -> String {
    certificate(variable).expect("a known one").replace('\n', "\\n")
}

fn everything() -> String {
    let walkthrough = WALKTHROUGH.map(|(_, text)| text).join("\n---\n");
    format!("{walkthrough}\n---\n{EXAMPLE}\n---\n{HTTPS}\n---\n{}", &PRICES[..2000])
}

fn load_one(text: &str) -> usize {
    let env = |_: &str| Some("x".to_owned());
    load(&[Source { name: "x", text }], &env, &Overrides::default())
        .map_or_else(|faults| faults.count(), |_| 0)
}

/// Every fault is told by the conditions of its resource, or beside them.
fn no_fault_is_lost(text: &str) {
    let (source, env) = (Source { name: "x", text }, |_: &str| Some("x".to_owned()));
    let nothing = Source { name: "prices.yaml", text: "" };
    let found = conditions(nothing, &[source], &env, &Overrides::default());
    match (load(&[source], &env, &Overrides::default()), found.in_force) {
        (Ok(_), Ok(_)) => {}
        (Err(faults), Err(rest)) => {
            let told = table(&found.resources) + &rest.to_string();
            for fault in faults.iter() {
                let fault = fault.to_string();
                let line = fault.lines().next().unwrap_or_default();
                assert!(told.contains(line), "{line} is not in\n{told}");
            }
        }
        (loaded, in_force) => {
            panic!("{:?} and {:?}", loaded.err().map(|e| e.count()), in_force.err().map(|e| e.count()))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Bytes of good manifests replaced, removed and repeated: never a panic.
    #[test]
    fn damaged_manifests_never_panic(
        edits in proptest::collection::vec((0usize..1_000_000, 0usize..30, "[ -~\\n\\té]{0,6}"), 1..6),
    ) {
        let mut text: Vec<char> = everything().chars().collect();
        for (at, remove, insert) in edits {
            let at = at % text.len();
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        load_one(&text);
        no_fault_is_lost(&text);
    }

    /// Lines of good manifests shuffled among each other: never a panic.
    #[test]
    fn shuffled_lines_never_panic(picks in proptest::collection::vec(0usize..1000, 1..60)) {
        let all = everything();
        let lines: Vec<&str> = all.lines().collect();
        let text: Vec<&str> = picks.iter().map(|pick| lines[pick % lines.len()]).collect();
        load_one(&text.join("\n"));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        load_one(&String::from_utf8_lossy(&bytes));
    }
}

/// Every manifest cut at every byte: never a panic.
#[test]
fn truncated_manifests_never_panic() {
    let limits = EXAMPLE.split("\n---\n").filter(|text| text.contains("limits:") || text.contains("local:"));
    for text in WALKTHROUGH.iter().map(|(_, text)| *text).chain(limits).chain([HTTPS]) {
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            load_one(&text[..end]);
        }
    }
}
