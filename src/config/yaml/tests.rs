use super::*;
use proptest::prelude::*;

fn read(text: &str) -> (Vec<Node>, String) {
    let faults = Faults::new(["x.yaml"].into_iter());
    let documents = parse(text, 0, &faults);
    (documents.roots, faults.finish().map_or_else(|faults| faults.to_string(), |_| String::new()))
}

/// The tree on one line: scalars with their place, maps and lists in brackets.
fn show(node: &Node) -> String {
    match &node.value {
        Value::Refused => "?".into(),
        Value::Scalar(s) if s.plain => format!("{}@{}:{}", s.text, node.at.line, node.at.column),
        Value::Scalar(s) => format!("{:?}@{}:{}", s.text, node.at.line, node.at.column),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Map(entries) => {
            let entry = |(key, value): &(Key, Node)| {
                format!("{}@{}:{}={}", key.text, key.at.line, key.at.column, show(value))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
        }
    }
}

#[test]
fn trees_have_places() {
    for (text, shown) in [
        ("a: 1\nb:\n- x\n- y: 'z'\n", "{a@1:1=1@1:4 b@2:1=[x@3:3 {y@4:3=\"z\"@4:6}]}"),
        ("{\"a\": [1, \"1\"]}", "{a@1:2=[1@1:8 \"1\"@1:11]}"),
        ("\u{feff}a: b", "{a@1:1=b@1:4}"),
        ("a: b\r\nc: d\r\n", "{a@1:1=b@1:4 c@2:1=d@2:4}"),
        ("---\na: 1\n--- \nb: 2\n---\n# none\n---\nc: 3\n...\n", "{a@2:1=1@2:4}|{b@4:1=2@4:4}|{c@8:1=3@8:4}"),
        ("%YAML 1.2\n---\na: 1\n", "{a@3:1=1@3:4}"),
        ("# only a comment\n", ""),
        ("", ""),
        ("a: |\n  x\n  y\n", "{a@1:1=\"x\\ny\\n\"@2:3}"),
        ("é: ü\nz: 1", "{é@1:1=ü@1:4 z@2:1=1@2:4}"),
    ] {
        let (roots, faults) = read(text);
        let all = roots.iter().map(show).collect::<Vec<_>>().join("|");
        assert_eq!((all.as_str(), faults.as_str()), (shown, ""), "{text:?}");
    }
}

#[test]
fn what_is_refused_is_refused_by_name_and_the_rest_is_read() {
    for (text, shown, fault) in [
        (
            "a: 1\na: 2\nb: 3",
            "{a@1:1=1@1:4 b@3:1=3@3:4}",
            "x.yaml:2:1: the key \"a\" stands twice in this map",
        ),
        ("a: &x 1\nb: *x", "{a@1:1=1@1:4 b@2:1=?}", "x.yaml:1:4: anchors (&name) are not supported"),
        ("a: !!str 1", "{a@1:1=1@1:4}", "x.yaml:1:4: tags (!name) are not supported"),
        ("[a]: 1\nb: 2", "{b@2:1=2@2:4}", "x.yaml:1:1: a key must be a name, not a list"),
        ("a:\n\tb: 1\n---\nc: 1", "{c@4:1=1@4:4}", "x.yaml:2:1: a tab indents this line"),
        ("c: 1\n---\na: [1\n---\nd: 1", "{c@1:1=1@1:4}|{d@5:1=1@5:4}", "x.yaml:"),
    ] {
        let (roots, faults) = read(text);
        let all = roots.iter().map(show).collect::<Vec<_>>().join("|");
        assert_eq!(all, shown, "{text:?}: {faults}");
        assert!(faults.starts_with(fault), "{text:?}: {faults}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    for deep in ["[".repeat(100_000), "- ".repeat(5_000), "{a: ".repeat(80)] {
        let (_, faults) = read(&deep);
        assert!(faults.contains("deeper than 64"), "{faults}");
    }
    assert!(read(&"a".repeat(TEXT_MAX + 1)).1.contains("at most"));
    assert!(read(&"- 1\n".repeat(NODES_MAX + 1)).1.contains("more than 200000 values"));
}

#[test]
fn scalars_are_what_the_core_schema_says() {
    for (text, kind) in [
        ("", Kind::Null),
        ("~", Kind::Null),
        ("null", Kind::Null),
        ("true", Kind::Bool(true)),
        ("FALSE", Kind::Bool(false)),
        ("yes", Kind::Text),
        ("no", Kind::Text),
        ("on", Kind::Text),
        ("0", Kind::Integer),
        ("-12", Kind::Integer),
        ("0o17", Kind::Integer),
        ("0xfF", Kind::Integer),
        ("0x", Kind::Text),
        ("1.5", Kind::Float),
        (".5", Kind::Float),
        ("1e3", Kind::Float),
        ("1e", Kind::Text),
        (".", Kind::Text),
        ("-.inf", Kind::Float),
        ("10.0.0.1", Kind::Text),
        ("100s", Kind::Text),
    ] {
        assert_eq!(Scalar { text: text.into(), plain: true }.kind(), kind, "{text:?}");
        assert_eq!(Scalar { text: text.into(), plain: false }.kind(), Kind::Text, "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-c:\\-\\[\\]{}&*!|>'\"#%?, \\t\\n\\\\.0x~é]{0,120}") {
        read(&text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read(&String::from_utf8_lossy(&bytes));
    }
}
