//! The rows: files in `tests/golden/http1`, whose own words say how they are written.

use std::path::Path;

/// A file of rows under one rule each.
pub(crate) struct Group {
    /// The name of the rule, or of the tolerance.
    pub rule: String,
    /// The status that a request is refused with under it.
    pub status: Option<u16>,
    pub rows: Vec<Row>,
}

pub(crate) struct Row {
    /// `FILE:LINE: RULE, NAME`, for whoever reads that it failed.
    pub name: String,
    text: String,
    /// What is said about it: a word and what follows.
    pub notes: Vec<(String, String)>,
}

impl Row {
    /// Its bytes, for a route with this path.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        bytes(&self.text.replace("$P", path))
    }

    /// Its bytes in parts: `$|` stands between them.
    pub(crate) fn parts(&self) -> Vec<Vec<u8>> {
        self.text.split("$|").map(bytes).collect()
    }

    /// Whether it is for any route.
    pub(crate) fn has_path(&self) -> bool {
        self.text.contains("$P")
    }
}

/// The groups of a file.
pub(crate) fn load(file: &str) -> Vec<Group> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/http1").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut groups: Vec<Group> = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(number, line)| (number + 1, line)) {
        let at = |what: &str| format!("{file}:{number}: {what}: {line}");
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        if let Some(rule) = line.strip_prefix("== ") {
            let (rule, status) = rule.split_once(' ').map_or((rule, None), |(rule, status)| {
                (rule, Some(status.parse().unwrap_or_else(|_| panic!("{}", at("no status")))))
            });
            groups.push(Group { rule: rule.to_owned(), status, rows: Vec::new() });
            continue;
        }
        let Some(group) = groups.last_mut() else { panic!("{}", at("a row before a group")) };
        if let Some(note) = line.strip_prefix("  ") {
            let (word, rest) = note.split_once(' ').unwrap_or((note, ""));
            let Some(row) = group.rows.last_mut() else { panic!("{}", at("a note before a row")) };
            row.notes.push((word.to_owned(), rest.to_owned()));
            continue;
        }
        let Some((name, text)) = line.split_once(" > ") else { panic!("{}", at("not a row")) };
        let name = format!("{file}:{number}: {}, {name}", group.rule);
        group.rows.push(Row { name, text: text.to_owned(), notes: Vec::new() });
    }
    groups
}

/// The lines that tell of a request's way, of one to Host a.
const WAY: &str =
    "x-forwarded-for: 127.0.0.1\\r\\nx-forwarded-proto: http\\r\\nx-forwarded-host: a\\r\\nvia: 1.1 tollgate";

/// The bytes that a text stands for.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let text = text.replace("$W", WAY);
    let (mut out, mut rest) = (Vec::new(), text.as_str());
    while let Some(first) = rest.chars().next() {
        if let Some(repeated) = rest.strip_prefix("$(") {
            let close = repeated.match_indices(')').map(|(at, _)| at);
            let (end, what, times) = close
                .filter_map(|at| {
                    let (what, times) = repeated[..at].rsplit_once('*')?;
                    Some((at, what, times.parse::<usize>().ok()?))
                })
                .next()
                .unwrap_or_else(|| panic!("what is repeated how often? {rest}"));
            out.extend_from_slice(&bytes(what).repeat(times));
            rest = &repeated[end + 1..];
            continue;
        }
        let len = match rest.as_bytes() {
            [b'\\', b'x', high, low, ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                out.push(u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("no digits: {rest}")));
                4
            }
            [b'\\', escaped, ..] => {
                out.push(match escaped {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    b'\\' => b'\\',
                    _ => panic!("an unknown escape: {rest}"),
                });
                2
            }
            _ => {
                let len = first.len_utf8();
                out.extend_from_slice(&rest.as_bytes()[..len]);
                len
            }
        };
        rest = &rest[len..];
    }
    out
}

#[test]
fn texts_stand_for_bytes() {
    for (text, expect) in [
        ("a\\r\\n\\0\\t\\\\\\x00\\xffz", &b"a\r\n\0\t\\\0\xffz"[..]),
        ("$(ab\\n*2)c", b"ab\nab\nc"),
        ("$(, x*2)", b", x, x"),
        ("GET $/ (x) *", b"GET $/ (x) *"),
    ] {
        assert_eq!(bytes(text), expect, "{text}");
    }
}
