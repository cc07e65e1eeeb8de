//! What lies in the tree: files nobody builds, cases nobody runs, packages nobody gave a reason for, and text
//! that belongs to one machine.

use super::source::{Exception, Fault, House, Source, words};
use super::words::Ban;
use std::collections::BTreeSet;

/// Every Rust file is reached from a crate root, and every bench is declared.
pub(crate) fn dead_files(house: &House) -> Vec<Fault> {
    let dead = house.dead.iter().map(|path| {
        Fault::at(
            path,
            1,
            "dead file",
            "no `mod` declaration leads here: declare it in its parent, or delete it",
        )
    });
    let manifest = house.texts.get("Cargo.toml").map_or("", String::as_str);
    let is_bench = |name: &str| {
        let sections =
            manifest.split("\n[[bench]]").skip(1).map(|rest| rest.split("\n[").next().unwrap_or_default());
        sections
            .into_iter()
            .any(|bench| bench.contains(&format!("\"{name}\"")) && bench.contains("harness = false"))
    };
    let benches = house.sources.keys().filter(|path| {
        let name = path.strip_prefix("benches/").and_then(|file| file.strip_suffix(".rs"));
        name.is_some_and(|name| !name.contains('/') && !is_bench(name))
    });
    let benches = benches.map(|path| {
        Fault::at(path, 1, "dead file", "no [[bench]] with `harness = false` in Cargo.toml runs it: add one")
    });
    dead.chain(benches).collect()
}

/// Every folder of cases below `tests` is named by a test: one Rust file has all parts of its path in its
/// literals.
pub(crate) fn dead_cases(house: &House) -> Vec<Fault> {
    let data = house.texts.keys().filter(|path| !path.ends_with(".rs"));
    let folders: BTreeSet<&str> = data
        .filter_map(|path| path.rsplit_once('/').map(|(folder, _)| folder))
        .filter(|folder| folder.starts_with("tests/") || folder.contains("/tests/"))
        .collect();
    let names = |source: &Source, folder: &str| {
        let inside = folder.split_once("tests/").map_or(folder, |(_, inside)| inside);
        inside.split('/').all(|part| words(&source.literals, part).next().is_some())
    };
    let unnamed =
        folders.into_iter().filter(|folder| !house.sources.values().any(|source| names(source, folder)));
    unnamed
        .map(|folder| {
            Fault::at(folder, 1, "dead cases", "no test names this folder: run its cases, or delete them")
        })
        .collect()
}

/// Every dependency has a comment directly above that says why it is there. A row of `excused` is written
/// `manifest: package`.
pub(crate) fn dependencies(house: &House, excused: &[Exception]) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !house.texts.contains_key("Cargo.lock") {
        faults.push(Fault::at(
            "Cargo.lock",
            1,
            "dependencies",
            "is missing: a gateway is built from fixed versions; commit it",
        ));
    }
    let mut used = BTreeSet::new();
    for (path, text) in house.texts.iter().filter(|(path, _)| path.rsplit('/').next() == Some("Cargo.toml")) {
        for (line, package) in unreasoned(text) {
            let key = format!("{path}: {package}");
            if excused.iter().any(|exception| exception.path == key) {
                used.insert(key);
            } else {
                let says =
                    format!("`{package}` has no reason: write it in a comment directly above, or do without");
                faults.push(Fault::at(path, line, "dependencies", says));
            }
        }
    }
    let unneeded = excused.iter().filter(|exception| !used.contains(exception.path));
    faults.extend(unneeded.map(|exception| {
        Fault::at(
            "tests/tidy.rs",
            1,
            "dependencies",
            format_args!("{} needs no exception any more: remove its row", exception.path),
        )
    }));
    faults
}

/// Lines and names of dependencies without a comment directly above. A divider (`# --- bytes ---`) is no
/// reason.
fn unreasoned(manifest: &str) -> Vec<(usize, &str)> {
    let (mut found, mut above, mut in_dependencies, mut open) = (Vec::new(), "", false, 0_usize);
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        let reasoned = above.starts_with('#') && !above.starts_with("# ---");
        above = line;
        if open == 0 && line.starts_with('[') {
            let section = line.trim_matches(['[', ']']);
            let own = section.rsplit_once("dependencies.").map(|(_, package)| package);
            in_dependencies = own.is_none() && section.ends_with("dependencies");
            found.extend(own.filter(|_| !reasoned).map(|package| (index + 1, package)));
            continue;
        }
        if in_dependencies && open == 0 && !line.starts_with('#') {
            let package =
                line.split_once('=').map(|(name, _)| name.trim().split('.').next().unwrap_or_default());
            found.extend(package.filter(|_| !reasoned).map(|package| (index + 1, package)));
        }
        if !line.starts_with('#') {
            open = (open + line.matches(['[', '{']).count()).saturating_sub(line.matches([']', '}']).count());
        }
    }
    found
}

/// Every file of the library says what it is: in `//!` at its top, or in the `///` of its first item. Files
/// of tests are exempt.
pub(crate) fn docs(house: &House, excused: &[Exception]) -> Vec<Fault> {
    let undocumented = |source: &Source| {
        let text = &house.texts[&source.path];
        let first = text.lines().find(|line| !is_preamble(line)).unwrap_or_default();
        !text.starts_with("//!") && !first.starts_with("///")
    };
    let library = house.sources.values().filter(|source| source.path.split('/').any(|part| part == "src"));
    let mut faults = Vec::new();
    for source in library.filter(|source| !source.in_test(0)) {
        let excuse = excused.iter().find(|exception| exception.path == source.path);
        let says = match (undocumented(source), excuse) {
            (true, None) => "begins without docs: say in `//!` what the file holds and why",
            (false, Some(_)) => "needs no exception any more: remove its row from tests/tidy.rs",
            _ => continue,
        };
        faults.push(source.fault(0, "docs", says));
    }
    faults
}

/// Imports, module declarations, attributes of the file and blank lines: what stands before the first item.
fn is_preamble(line: &str) -> bool {
    let line = line.trim_end();
    let begins =
        ["use ", "pub use ", "pub(crate) use ", "mod ", "pub mod ", "pub(crate) mod ", "#![", "extern "];
    line.is_empty() || line.starts_with(['}', ' ']) || begins.iter().any(|begin| line.starts_with(begin))
}

/// Text that may stand in no file at all, whatever its kind.
pub(crate) fn texts(house: &House, bans: &[Ban], excused: &[Exception]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in house.texts.iter().filter(|(path, _)| excused.iter().all(|file| file.path != *path)) {
        for (index, line) in text.lines().enumerate() {
            let lower = line.to_ascii_lowercase();
            for ban in bans.iter().filter(|ban| stands_in(&lower, &ban.word.to_ascii_lowercase())) {
                faults.push(Fault::at(
                    path,
                    index + 1,
                    "text",
                    format_args!("`{}`: {}", ban.word, ban.instead),
                ));
            }
        }
    }
    faults
}

/// Whether `what` stands in `line`. A path counts only where it begins: `/a/` stands in `"/a/b"`, not in
/// `docs/a/b` and not in `example.com/a/b`.
fn stands_in(line: &str, what: &str) -> bool {
    line.match_indices(what).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !what.starts_with('/') || !before.is_some_and(|c| c.is_alphanumeric() || "_-.}*)".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(faults: Vec<Fault>, expected: &[&str]) {
        let said: Vec<String> = faults.into_iter().map(|fault| fault.0).collect();
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for line in expected {
            assert!(said.iter().any(|fault| fault.contains(line)), "{line}: {said:#?}");
        }
    }

    #[test]
    fn files_that_nobody_declares_are_dead() {
        let files = [
            ("src/lib.rs", "pub mod a;\nmod b { mod c; }\n// mod dead;"),
            ("src/a/mod.rs", "mod d;"),
            ("src/a/d.rs", "mod e;"),
            ("src/a/d/e.rs", ""),
            ("src/b/c.rs", ""),
            ("src/dead.rs", "mod child;"),
            ("src/dead/child.rs", ""),
            ("tests/one.rs", "mod support;\n#[path = \"one/part.rs\"]\nmod part;"),
            ("tests/support/mod.rs", ""),
            ("tests/one/part.rs", ""),
            ("kit/src/main.rs", "mod x;"),
            ("kit/src/x.rs", ""),
        ];
        let expected =
            ["src/dead.rs:1: dead file: no `mod` declaration leads here", "src/dead/child.rs:1: dead file"];
        check(dead_files(&House::of(&files)), &expected);
    }

    #[test]
    fn benches_that_are_not_declared_are_dead() {
        let manifest =
            "[[bench]]\nname = \"b\"\nharness = false\n\n[[bench]]\nname = \"c\"\n\n[x]\nharness = false";
        let manifest = format!("[package]\n\n{manifest}");
        let house = House::of(&[
            ("Cargo.toml", &manifest),
            ("benches/a.rs", ""),
            ("benches/b.rs", ""),
            ("benches/c.rs", ""),
        ]);
        check(
            dead_files(&house),
            &["benches/a.rs:1: dead file: no [[bench]]", "benches/c.rs:1: dead file: no [[bench]]"],
        );
    }

    #[test]
    fn cases_that_no_test_names_are_dead() {
        let house = House::of(&[
            ("tests/a.rs", "fn t() { run(\"golden/x\"); run(\"deep why\") } // golden/y"),
            ("tests/golden/x/1.json", ""),
            ("tests/golden/x/deep/1.json", ""),
            ("tests/golden/y/1.json", ""),
        ]);
        check(dead_cases(&house), &["tests/golden/y:1: dead cases: no test names this folder"]);
    }

    #[test]
    fn dependencies_without_a_reason_are_named() {
        let manifest = "[package]\nname = \"x\"\n\
            [dependencies]\n# --- bytes ---\na = \"1\"\n\
            # Why b.\nb = { version = \"1\", features = [\n\"c\",\n] }\n\
            d.version = \"1\"\n\n# Why e.\n\ne = \"1\"\n[dependencies.f]\nversion = \"1\"\n\
            [dev-dependencies]\n# Why g.\ng = \"1\"\n[profile]\nh = 1\n";
        let house = House::of(&[("kit/Cargo.toml", manifest), ("Cargo.lock", "")]);
        let expected = [
            "kit/Cargo.toml:5: dependencies: `a` has no reason",
            ":10: dependencies: `d`",
            ":14: dependencies: `e`",
            "`f`",
        ];
        check(dependencies(&house, &[]), &expected);
        let excused = [
            Exception { path: "kit/Cargo.toml: a", reason: "" },
            Exception { path: "kit/Cargo.toml: g", reason: "" },
        ];
        let expected =
            [":10: dependencies: `d`", "`e`", "`f`", "kit/Cargo.toml: g needs no exception any more"];
        check(dependencies(&house, &excused), &expected);
        check(dependencies(&House::of(&[]), &[]), &["Cargo.lock:1: dependencies: is missing"]);
    }

    #[test]
    fn files_begin_with_docs() {
        let house = House::of(&[
            ("src/lib.rs", "//! x\nmod a; mod b; mod c; #[cfg(test)] mod t;"),
            ("src/a.rs", "use std::{\n    fmt,\n};\n\n/// A type.\nstruct A;"),
            ("src/b.rs", "use x;\n\nstruct A;\n/// Late.\nstruct B;"),
            ("src/c.rs", "// A note.\nstruct A;"),
            ("src/t.rs", "use x;\nfn f() {}"),
        ]);
        check(docs(&house, &[]), &["src/b.rs:1: docs: begins without docs", "src/c.rs:1: docs"]);
        let excused = ["src/a.rs", "src/b.rs", "src/c.rs"].map(|path| Exception { path, reason: "" });
        check(docs(&house, &excused), &["src/a.rs:1: docs: needs no exception any more"]);
    }

    #[test]
    fn texts_of_one_machine_are_named_in_any_file() {
        let bans = [
            Ban { word: "/den/", instead: "a path from the root" },
            Ban { word: "sub-Word", instead: "say it plainly" },
        ];
        let house = House::of(&[
            ("a.md", "see docs/den/x and example.com/den/x\nsee /den/x"),
            ("b.yaml", "path: \"/den/x\""),
            ("c.rs", "// SUB-WORDS"),
            ("excused", "/den/"),
        ]);
        let expected =
            ["a.md:2: text: `/den/`: a path from the root", "b.yaml:1: text", "c.rs:1: text: `sub-Word`"];
        check(texts(&house, &bans, &[Exception { path: "excused", reason: "" }]), &expected);
    }
}
