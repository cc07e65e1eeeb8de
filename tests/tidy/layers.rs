//! Who may import whom.

use super::source::{Fault, House, Source, behind, blank, firsts, inline_modules, words};

/// A room of the house: a folder of `src`.
pub(crate) struct Room {
    pub(crate) layer: u8,
    pub(crate) name: &'static str,
    /// The rooms it may import. All of them stand in lower layers.
    pub(crate) may: &'static [&'static str],
    /// Names no socket, file, thread, clock or `async`.
    pub(crate) pure: bool,
}

/// The table itself: rooms import only rooms of lower layers, and every folder of `src` has its row.
pub(crate) fn table(house: &House, rooms: &[Room]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for room in rooms {
        for other in room.may {
            match rooms.iter().find(|row| row.name == *other) {
                Some(row) if row.layer < room.layer => {}
                Some(row) => faults.push(Fault(format!(
                    "layers: `{}` (layer {}) may not list `{other}` (layer {}): rooms import rooms below",
                    room.name, room.layer, row.layer
                ))),
                None => {
                    let says = format!("layers: `{}` lists `{other}`, which has no row", room.name);
                    faults.push(Fault(says));
                }
            }
        }
        if !house.rooms().any(|(name, _)| name == Some(room.name)) {
            faults.push(Fault(format!(
                "layers: `{}` has a row and no folder in src: remove the row",
                room.name
            )));
        }
    }
    for (name, source) in house.rooms() {
        if name.is_some_and(|name| rooms.iter().all(|row| row.name != name)) {
            faults.push(source.fault(
                0,
                "layers",
                "a file outside every room: give its room a row in tests/tidy.rs",
            ));
        }
    }
    faults
}

/// Every import from one room into another that the table does not allow. Tests inside a room are held to it
/// too: what needs two siblings is tested in `tests/`.
pub(crate) fn imports(house: &House, rooms: &[Room]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, source) in house.rooms() {
        let Some(room) = rooms.iter().find(|row| Some(row.name) == name) else { continue };
        for (at, other) in imported(source) {
            if other == room.name || room.may.contains(&other) {
                continue;
            }
            let says = match rooms.iter().find(|row| row.name == other) {
                Some(row) if row.layer == room.layer => "siblings never import siblings".to_owned(),
                Some(row) if row.layer > room.layer => format!("it stands above, in layer {}", row.layer),
                Some(_) => "its row does not name it".to_owned(),
                None => "that is no room, and items live in rooms".to_owned(),
            };
            let instead = match room.may {
                [] => "the other room calls this one and hands it values".to_owned(),
                may => format!("it may import {}; take a value or a trait instead", may.join(", ")),
            };
            faults.push(source.fault(
                at,
                "layers",
                format_args!("`{}` imports `{other}`: {says}. {instead}", room.name),
            ));
        }
    }
    faults
}

/// The names directly below the crate's root that a file names: by `crate::`, or by as many `super::` as lead
/// there.
fn imported(source: &Source) -> Vec<(usize, &str)> {
    let code = source.code.as_str();
    let mut names: Vec<_> = behind(code, "crate").chain(behind(code, "tollgate")).collect();
    let inline = inline_modules(code);
    let in_file = source.path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count() - 1;
    let is_super =
        |at: usize| code[at..].starts_with("super") && words(&code[at..], "super").next() == Some(0);
    let mut done = 0;
    for at in words(code, "super") {
        if at < done {
            continue;
        }
        let depth = in_file + inline.iter().filter(|(_, range)| range.contains(&at)).count();
        let (mut supers, mut end) = (1, at + "super".len());
        while code[blank(code, end)..].starts_with("::") {
            let next = blank(code, blank(code, end) + 2);
            if !is_super(next) {
                break;
            }
            (supers, end) = (supers + 1, next + "super".len());
        }
        done = end;
        if supers >= depth {
            names.extend(firsts(code, end));
        }
    }
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: [Room; 4] = [
        Room { layer: 1, name: "base", may: &[], pure: true },
        Room { layer: 2, name: "wire", may: &["base"], pure: true },
        Room { layer: 2, name: "runtime", may: &["base"], pure: false },
        Room { layer: 3, name: "limit", may: &["base"], pure: true },
    ];

    /// What is said about one file, without its path.
    fn said(path: &str, text: &str) -> Vec<String> {
        let house = House::of(&[(path, text)]);
        imports(&house, &ROOMS).into_iter().map(|fault| fault.0.replace(path, "")).collect()
    }

    #[test]
    fn what_the_table_allows_passes() {
        let text =
            "use crate::base::Tick; // crate::limit\nuse crate::wire::x; mod t { use super::super::y; }";
        for (path, text) in [("src/wire/json/scan.rs", text), ("src/lib.rs", "use crate::limit::Rule;")] {
            let said = said(path, text);
            assert!(said.is_empty(), "{said:?}");
        }
    }

    #[test]
    fn each_way_to_break_it_is_named() {
        let rows = [
            (
                "src/base/a.rs",
                "\nuse crate::wire::x;",
                ":2: layers: `base` imports `wire`: it stands above, in layer 2. the other room calls",
            ),
            (
                "src/wire/a.rs",
                "use crate::runtime::x;",
                ":1: layers: `wire` imports `runtime`: siblings never import siblings. it may import base;",
            ),
            (
                "src/limit/a.rs",
                "use crate::{base, wire::x};",
                ":1: layers: `limit` imports `wire`: its row does not name it",
            ),
            ("src/limit/a.rs", "fn f() { crate::wire::x() }", "`limit` imports `wire`"),
            ("src/limit/a.rs", "use super::super::wire::x;", "`limit` imports `wire`"),
            ("src/limit/a.rs", "mod t { use super::super::super::{base, wire}; }", "`limit` imports `wire`"),
            ("src/limit/mod.rs", "use super::wire;", "`limit` imports `wire`"),
            ("src/limit/a.rs", "use tollgate::wire;", "`limit` imports `wire`"),
            ("src/limit/a.rs", "use crate::*;", "`limit` imports `*`: that is no room"),
            ("src/limit/a.rs", "#[cfg(test)] mod tests { use crate::wire::x; }", "`limit` imports `wire`"),
        ];
        for (path, text, expected) in rows {
            let said = said(path, text);
            assert!(said.len() == 1 && said[0].contains(expected), "{text}: {said:?}");
        }
    }

    #[test]
    fn the_table_is_checked_too() {
        let rooms = [
            Room { layer: 1, name: "base", may: &["wire"], pure: true },
            Room { layer: 2, name: "wire", may: &["bass"], pure: true },
        ];
        let house = House::of(&[("src/lib.rs", ""), ("src/base/mod.rs", ""), ("src/attic/mod.rs", "")]);
        let said: Vec<String> = table(&house, &rooms).into_iter().map(|fault| fault.0).collect();
        for expected in [
            "`base` (layer 1) may not list `wire` (layer 2)",
            "`wire` lists `bass`, which has no row",
            "`wire` has a row and no folder",
            "src/attic/mod.rs:1: layers: a file outside every room",
        ] {
            assert!(said.iter().any(|line| line.contains(expected)), "{expected}: {said:#?}");
        }
        assert_eq!(said.len(), 4);
    }
}
