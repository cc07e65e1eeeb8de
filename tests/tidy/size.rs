//! How large files and functions may become. A ratchet instead of a wall: what is too large today is listed
//! with its size and may only shrink.

use super::source::{Fault, House, Source, blank, item_end, name_at, words};

/// The most lines, and what is larger today.
pub(crate) struct Sizes {
    pub(crate) file_max: usize,
    pub(crate) function_max: usize,
    pub(crate) known: &'static [Known],
}

/// A file, or a function (`path::function`), that is larger than it may be.
pub(crate) struct Known {
    pub(crate) what: &'static str,
    pub(crate) lines: usize,
}

/// A file or a function and its lines.
pub(crate) struct Sized {
    pub(crate) what: String,
    at: String,
    pub(crate) lines: usize,
}

/// Everything that is larger than it may be, and every row of `known` that is needed no longer.
pub(crate) fn sizes(house: &House, limits: &Sizes) -> Vec<Fault> {
    let mut faults = Vec::new();
    let parts = "give a part of it that can be named its own";
    for (found, most, kind) in
        [(files(house), limits.file_max, "file"), (functions(house), limits.function_max, "function")]
    {
        for one in found.into_iter().filter(|one| one.lines > most) {
            let known =
                limits.known.iter().find(|known| known.what == one.what).map_or(0, |known| known.lines);
            if one.lines > known {
                let Sized { what, at, lines } = one;
                let most = most.max(known);
                faults.push(Fault(format!(
                    "{at}: size: {what} has {lines} lines, {kind}s have up to {most}: {parts} {kind}"
                )));
            }
        }
    }
    let is = |known: &&Known, one: &Sized, most| one.what == known.what && one.lines > most;
    let unneeded = limits.known.iter().filter(|known| {
        !files(house).iter().any(|one| is(known, one, limits.file_max))
            && !functions(house).iter().any(|one| is(known, one, limits.function_max))
    });
    faults.extend(unneeded.map(|known| {
        Fault(format!("tests/tidy.rs: size: {} is small enough or gone: remove its row", known.what))
    }));
    faults
}

/// All Rust files, the largest first.
pub(crate) fn files(house: &House) -> Vec<Sized> {
    let lines = |source: &Source| source.code.lines().count();
    largest_first(house.sources.values().map(|s| Sized {
        what: s.path.clone(),
        at: format!("{}:1", s.path),
        lines: lines(s),
    }))
}

/// All functions, the largest first.
pub(crate) fn functions(house: &House) -> Vec<Sized> {
    largest_first(house.sources.values().flat_map(|source| {
        let code = source.code.as_str();
        words(code, "fn").filter_map(move |at| {
            let name = name_at(code, blank(code, at + "fn".len()));
            let named = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
            let (first, last) = (source.line(at), source.line(item_end(code, at) - 1));
            let what = format!("{}::{name}", source.path);
            named.then(|| Sized { what, at: format!("{}:{first}", source.path), lines: last - first + 1 })
        })
    }))
}

fn largest_first(sized: impl Iterator<Item = Sized>) -> Vec<Sized> {
    let mut sized: Vec<Sized> = sized.collect();
    sized.sort_by(|a, b| b.lines.cmp(&a.lines).then_with(|| a.at.cmp(&b.at)));
    sized
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "fn long(a: [u8; 2]) {\n  if x { y }\n  z;\n}\nfn short();\ntype F = fn(u8);\n";

    fn said(known: &'static [Known], file_max: usize, function_max: usize) -> Vec<String> {
        let house = House::of(&[("src/limit/a.rs", FILE)]);
        sizes(&house, &Sizes { file_max, function_max, known }).into_iter().map(|fault| fault.0).collect()
    }

    #[test]
    fn functions_are_measured_from_their_name_to_their_brace() {
        let house = House::of(&[("src/limit/a.rs", FILE)]);
        let found: Vec<(String, usize)> =
            functions(&house).into_iter().map(|one| (one.what, one.lines)).collect();
        assert_eq!(found, [("src/limit/a.rs::long".to_owned(), 4), ("src/limit/a.rs::short".to_owned(), 1)]);
    }

    #[test]
    fn what_is_too_large_is_named_unless_it_is_known() {
        const LONG: &str = "src/limit/a.rs::long";
        assert!(said(&[], 6, 4).is_empty());
        let file = said(&[], 5, 4);
        assert!(
            file.len() == 1
                && file[0]
                    .starts_with("src/limit/a.rs:1: size: src/limit/a.rs has 6 lines, files have up to 5")
        );
        let function = said(&[], 6, 3);
        assert!(
            function.len() == 1
                && function[0].contains("src/limit/a.rs::long has 4 lines, functions have up to 3")
        );
        assert!(said(&[Known { what: LONG, lines: 4 }], 6, 2).is_empty());
        assert!(
            said(&[Known { what: LONG, lines: 3 }], 6, 2)[0].contains("has 4 lines, functions have up to 3")
        );
        assert!(
            said(&[Known { what: LONG, lines: 9 }], 6, 4)[0]
                .contains("is small enough or gone: remove its row")
        );
    }
}
