//! The tree as the checks see it: every text file, and for Rust files what is code, comment or literal.

use super::lexer::{Kind, classify, is_name, only};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

/// All files of the project, by their path from its root, with `/` between folders.
pub(crate) struct House {
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) sources: BTreeMap<String, Source>,
    /// Rust files that no `mod` declaration leads to from a crate root.
    pub(crate) dead: Vec<String>,
}

/// One Rust file. `code`, `comments` and `literals` are as long as the text and hold it where it is of that
/// kind and spaces elsewhere, so an offset means the same place in all of them.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) code: String,
    pub(crate) comments: String,
    pub(crate) literals: String,
    /// Where code stands that is built for tests only.
    tests: Vec<Range<usize>>,
    /// The file is built for tests only.
    is_test: bool,
}

/// Something that is not as the house wants it: where, which rule, what is wrong and what to do instead.
#[derive(Clone, Debug)]
pub(crate) struct Fault(pub(crate) String);

impl Fault {
    pub(crate) fn at(path: &str, line: usize, rule: &str, says: impl std::fmt::Display) -> Fault {
        Fault(format!("{path}:{line}: {rule}: {says}"))
    }
}

/// A file that may break a rule, and why.
pub(crate) struct Exception {
    pub(crate) path: &'static str,
    pub(crate) reason: &'static str,
}

impl House {
    /// The tree below `root`, without what `.gitignore` names and without `.git`.
    pub(crate) fn read(root: &Path) -> House {
        let ignored = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let mut texts = BTreeMap::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder that can be read") {
                let path = entry.expect("an entry that can be read").path();
                let inside = path.strip_prefix(root).expect("a path below the root");
                let name = inside.to_string_lossy().replace('\\', "/");
                if name == ".git" || ignored.lines().any(|pattern| is_ignored(pattern, &name)) {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(text) = std::fs::read_to_string(&path) {
                    texts.insert(name, text); // what is no UTF-8 is no text
                }
            }
        }
        House::new(texts)
    }

    /// A house of these files, for the tests of the checks.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> House {
        House::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    fn new(texts: BTreeMap<String, String>) -> House {
        let rust = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
        let mut sources: BTreeMap<String, Source> =
            rust.map(|(path, text)| (path.clone(), Source::new(path, text))).collect();
        let reached = reached(&sources);
        for (path, source) in &mut sources {
            source.is_test |= reached.get(path) == Some(&true);
        }
        let dead = sources.keys().filter(|path| !reached.contains_key(*path)).cloned().collect();
        House { texts, sources, dead }
    }

    /// The Rust files of the gateway's own library and binary, with the room each belongs to (`None` for
    /// `lib.rs` and `main.rs`).
    pub(crate) fn rooms(&self) -> impl Iterator<Item = (Option<&str>, &Source)> {
        self.sources.values().filter_map(|source| {
            let inside = source.path.strip_prefix("src/")?;
            let room = inside.split_once('/').map_or(inside.strip_suffix(".rs"), |(room, _)| Some(room));
            Some((room.filter(|room| !matches!(*room, "lib" | "main")), source))
        })
    }
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let kinds = classify(text.as_bytes());
        let code = only(text, &kinds, Kind::Code);
        let tests = test_items(&code);
        let is_test = !path.split('/').any(|part| part == "src");
        let (comments, literals) = (only(text, &kinds, Kind::Comment), only(text, &kinds, Kind::Literal));
        Source { path: path.to_owned(), code, comments, literals, tests, is_test }
    }

    /// The line of an offset, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        1 + self.code.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
    }

    /// Whether what stands there is built for tests only.
    pub(crate) fn in_test(&self, at: usize) -> bool {
        self.is_test || self.tests.iter().any(|range| range.contains(&at))
    }

    pub(crate) fn fault(&self, at: usize, rule: &str, says: impl std::fmt::Display) -> Fault {
        Fault::at(&self.path, self.line(at), rule, says)
    }
}

/// Every place where `word` stands in `text` and is not part of a longer word.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| is_name(*byte));
    let (first, last) = (is_part(word.as_bytes().first()), is_part(word.as_bytes().last()));
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        let after = text.as_bytes().get(at + word.len());
        !((first && is_part(before)) || (last && is_part(after)))
    })
}

/// What stands directly behind `root::`, as `b` and `d` in `root::b::c` and `root::{b, d::{e, f}}`.
pub(crate) fn behind<'a>(code: &'a str, root: &'a str) -> impl Iterator<Item = (usize, &'a str)> + 'a {
    words(code, root).flat_map(|at| firsts(code, at + root.len()))
}

/// The first names of the path that goes on at `at` with `::`; empty when no path goes on there.
pub(crate) fn firsts(code: &str, at: usize) -> Vec<(usize, &str)> {
    let at = blank(code, at);
    if !code[at..].starts_with("::") {
        return Vec::new();
    }
    let mut at = blank(code, at + 2);
    if !code[at..].starts_with('{') {
        return vec![(at, name_at(code, at))];
    }
    let (mut depth, mut names, mut begins) = (0, Vec::new(), false);
    while let Some(byte) = code.as_bytes().get(at) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ if begins && !byte.is_ascii_whitespace() => names.push((at, name_at(code, at))),
            _ => {}
        }
        begins = depth == 1 && (matches!(byte, b'{' | b',') || (begins && byte.is_ascii_whitespace()));
        at += 1;
        if depth == 0 {
            break;
        }
    }
    names
}

/// The name that begins at `at`, or the one byte that is no name.
pub(crate) fn name_at(code: &str, at: usize) -> &str {
    let len = code.as_bytes()[at..].iter().take_while(|byte| is_name(**byte)).count();
    code.get(at..at + len.max(1)).unwrap_or_default()
}

/// The first offset from `at` on where no white space stands.
pub(crate) fn blank(code: &str, at: usize) -> usize {
    at + code.as_bytes()[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The end of the item, statement or block that begins at `at`: behind its `;`, or behind the brace that
/// closes its first block.
pub(crate) fn item_end(code: &str, at: usize) -> usize {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (offset, byte) in code.as_bytes()[at..].iter().enumerate() {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others = others.saturating_sub(1),
            b'{' => braces += 1,
            b'}' if braces <= 1 => return at + offset + 1,
            b'}' => braces -= 1,
            b';' if braces == 0 && others == 0 => return at + offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// Inline modules (`mod name { ... }`) with what they hold, outer ones first.
pub(crate) fn inline_modules(code: &str) -> Vec<(&str, Range<usize>)> {
    let open = modules(code).map(|(_, name, end)| (name, blank(code, end)));
    open.filter(|(_, at)| code[*at..].starts_with('{'))
        .map(|(name, at)| (name, at..item_end(code, at)))
        .collect()
}

/// Every `mod name`: where it begins, the name, and where the name ends.
fn modules(code: &str) -> impl Iterator<Item = (usize, &str, usize)> {
    words(code, "mod").filter_map(|at| {
        let begins = blank(code, at + "mod".len());
        let name = name_at(code, begins);
        (begins > at + "mod".len() && name.bytes().all(is_name)).then(|| (at, name, begins + name.len()))
    })
}

/// Which files the crate roots lead to, and whether only tests do.
fn reached(sources: &BTreeMap<String, Source>) -> BTreeMap<String, bool> {
    let mut reached = BTreeMap::new();
    let mut next: Vec<(String, bool)> = sources
        .values()
        .filter(|source| is_root(&source.path))
        .map(|s| (s.path.clone(), s.is_test))
        .collect();
    while let Some((path, test)) = next.pop() {
        // Built for the gateway and for tests is built for the gateway.
        if reached.get(&path).is_some_and(|before| !before || test) {
            continue;
        }
        let source = &sources[&path];
        next.extend(children(source).into_iter().filter_map(|(at, files)| {
            let file = files.into_iter().find(|file| sources.contains_key(file))?;
            Some((file, test || source.in_test(at)))
        }));
        reached.insert(path, test);
    }
    reached
}

/// A crate's root: `src/lib.rs`, `src/main.rs`, and each file directly in `tests`, `benches`, `fuzz_targets`, `src/bin`.
fn is_root(path: &str) -> bool {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let folder_name = folder.rsplit('/').next().unwrap_or_default();
    let in_src = folder.split('/').any(|part| part == "src");
    match folder_name {
        "src" => matches!(file, "lib.rs" | "main.rs"),
        "bin" => in_src,
        "tests" | "benches" | "examples" | "fuzz_targets" => !in_src,
        _ => file == "build.rs" || (file == "main.rs" && folder.split('/').rev().nth(1) == Some("tests")),
    }
}

/// The modules in files of their own that a file declares: where, and the files that may be meant.
fn children(source: &Source) -> Vec<(usize, [String; 2])> {
    let (code, path) = (source.code.as_str(), source.path.as_str());
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let own = if is_root(path) || file == "mod.rs" { folder } else { path.trim_end_matches(".rs") };
    let inline = inline_modules(code);
    let declared = modules(code).filter(|(_, _, end)| code[blank(code, *end)..].starts_with(';'));
    let files = declared.map(|(at, name, _)| {
        if let Some(given) = path_attribute(source, at) {
            return (at, [joined(folder, given), String::new()]);
        }
        let within = inline.iter().filter(|(_, range)| range.contains(&at));
        let folder = within.fold(own.to_owned(), |folder, (name, _)| format!("{folder}/{name}"));
        (at, [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")])
    });
    files.collect()
}

/// A path from a folder, which may begin with steps up (`../`).
fn joined(mut folder: &str, mut path: &str) -> String {
    while let Some(rest) = path.strip_prefix("../") {
        (folder, path) = (folder.rsplit_once('/').map_or("", |(above, _)| above), rest);
    }
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// The file of `#[path = "file"]` on the line above the declaration at `at`.
fn path_attribute(source: &Source, at: usize) -> Option<&str> {
    let above = source.code[..at].rfind("#[path")?;
    let attribute = source.code[above..at].find(']')? + above;
    let follows = matches!(source.code[attribute + 1..at].trim(), "" | "pub" | "pub(crate)");
    follows.then(|| source.literals[above..attribute].trim().trim_matches('"'))
}

/// Where items stand that have `#[cfg(test)]` or `#[test]`.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let marks: BTreeSet<usize> = ["#[cfg(test)]", "#[cfg(all(test", "#[test]"]
        .iter()
        .flat_map(|mark| code.match_indices(mark))
        .map(|m| m.0)
        .collect();
    let item = |at: usize| {
        let mut begins = at;
        while code[begins..].starts_with("#[") {
            begins = blank(code, begins + code[begins..].find(']').map_or(2, |end| end + 1));
        }
        at..item_end(code, begins)
    };
    marks.into_iter().map(item).collect()
}

/// As much of `.gitignore` as is used: `/name` at the root, `name/` anywhere, and one `*` in a file's name.
fn is_ignored(pattern: &str, path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    if pattern.is_empty() || pattern.starts_with('#') {
        return false;
    }
    if let Some(name) = pattern.strip_prefix('/') {
        return path == name.trim_end_matches('/');
    }
    match pattern.split_once('*') {
        Some((begin, end)) => file.starts_with(begin) && file.ends_with(end),
        None => file == pattern.trim_end_matches('/'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_followed_through_groups() {
        let code = "use crate::{base::{Span, Tick}, wire,\n  llm::x};\n\
                    crate::limit::f(); xcrate::no; $crate::mail!()";
        let names: Vec<&str> = behind(code, "crate").map(|(_, name)| name).collect();
        assert_eq!(names, ["base", "wire", "llm", "limit", "mail"]);
    }

    #[test]
    fn test_code_is_known_by_its_attribute_and_by_its_parent() {
        let house = House::of(&[
            ("src/lib.rs", "mod a;"),
            (
                "src/a.rs",
                "fn f() {}\n#[cfg(test)]\n#[x]\nmod tests { fn g() {} }\nfn h() {}\n#[cfg(test)]\nmod more;",
            ),
            ("src/a/more.rs", "mod deep;"),
            ("src/a/more/deep.rs", "fn i() {}"),
        ]);
        assert!(house.dead.is_empty(), "{:?}", house.dead);
        let in_test = |path: &str, what: &str| {
            let source = &house.sources[path];
            source.in_test(source.code.find(what).expect(what))
        };
        assert_eq!(["fn f", "fn g", "fn h"].map(|what| in_test("src/a.rs", what)), [false, true, false]);
        assert!(in_test("src/a/more/deep.rs", "fn i"));
    }

    #[test]
    fn files_elsewhere_are_reached_by_their_paths() {
        let house = House::of(&[
            (
                "tests/a.rs",
                "#[path = \"../fuzz/targets/mod.rs\"]\nmod targets;\n#[path = \"a/b.rs\"]\nmod b;",
            ),
            ("fuzz/targets/mod.rs", "mod c;"),
            ("fuzz/targets/c.rs", ""),
            ("fuzz/fuzz_targets/d.rs", ""),
            ("tests/a/b.rs", ""),
        ]);
        assert!(house.dead.is_empty(), "{:?}", house.dead);
        assert_eq!(joined("tests/x", "../../y.rs"), "y.rs");
    }

    #[test]
    fn gitignore() {
        let rows = [("/target", "target", true), ("/target", "a/target", false), ("*.raw", "a/b.raw", true)];
        for (pattern, path, ignored) in
            rows.into_iter().chain([("out.*", "out.1", true), ("keep/", "a/keep", true)])
        {
            assert_eq!(is_ignored(pattern, path), ignored, "{pattern} {path}");
        }
    }
}
