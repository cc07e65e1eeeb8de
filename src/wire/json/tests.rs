use super::*;
use proptest::prelude::*;

/// Writes down every event, with neighbouring parts of texts joined.
#[derive(Debug, Default, PartialEq)]
struct Log {
    lines: Vec<String>,
    text: Vec<u8>,
}

/// How many names lead here: enough to see that places come back as given.
impl Visitor for Log {
    type Place = u8;

    fn member(&mut self, parent: u8, key: &[u8], at: usize) -> u8 {
        self.lines.push(format!("{parent} key {} at {at}", String::from_utf8_lossy(key)));
        parent.wrapping_add(1)
    }
    fn element(&mut self, parent: u8) -> u8 {
        parent.wrapping_add(10)
    }
    fn open(&mut self, place: u8, container: Container, at: usize) {
        self.lines.push(format!("{place} open {container:?} at {at}"));
    }
    fn close(&mut self, place: u8, container: Container, end: usize, empty: bool) {
        self.lines.push(format!("{place} close {container:?} end {end} empty {empty}"));
    }
    fn text(&mut self, _place: u8, part: &[u8]) {
        self.text.extend_from_slice(part);
    }
    fn string(&mut self, place: u8, start: usize, end: usize) {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned();
        self.lines.push(format!("{place} string {text:?} {start}..{end}"));
    }
    fn scalar(&mut self, place: u8, scalar: Scalar, start: usize, end: usize) {
        self.lines.push(format!("{place} {scalar:?} {start}..{end}"));
    }
}

/// Scans `pieces` as one document; after a fault the events are not compared.
fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Log, Fault> {
    let (mut scanner, mut log) = (Scanner::new(), Log::default());
    for piece in pieces {
        scanner.feed(piece, &mut log)?;
    }
    scanner.finish(&mut log)?;
    assert!(scanner.is_done());
    Ok(log)
}

/// Scans `document` whole, byte by byte and split everywhere, and expects the same of all.
fn scan_every_way(document: &[u8]) -> Result<Log, Fault> {
    let whole = scan([document]);
    assert_eq!(scan(document.chunks(1)), whole, "byte by byte: {:?}", String::from_utf8_lossy(document));
    for at in 0..=document.len() {
        let (head, tail) = document.split_at(at);
        assert_eq!(scan([head, tail]), whole, "split at {at}: {:?}", String::from_utf8_lossy(document));
    }
    whole
}

#[test]
fn events_carry_places_and_offsets() {
    let log = scan_every_way(br#" {"a":[1,"x\u00e9"],"b\n":{"c":null},"d":{}} "#).unwrap();
    let expect = [
        "0 open Object at 1",
        "0 key a at 2",
        "1 open Array at 6",
        "11 Integer(1) 7..8",
        "11 string \"xé\" 9..18",
        "1 close Array end 19 empty false",
        "0 key b\n at 20",
        "1 open Object at 26",
        "1 key c at 27",
        "2 Null 31..35",
        "1 close Object end 36 empty false",
        "0 key d at 37",
        "1 open Object at 41",
        "1 close Object end 43 empty true",
        "0 close Object end 44 empty false",
    ];
    assert_eq!(log.lines, expect);
}

#[test]
fn faults_are_found_where_they_are() {
    use FaultKind::*;
    let rows: [(&[u8], FaultKind, usize); 33] = [
        (b"", Truncated, 0),
        (b"  ", Truncated, 2),
        (b"{", Truncated, 1),
        (b"[1", Truncated, 2),
        (b"\"abc", Truncated, 4),
        (b"tru", Truncated, 3),
        (b"-", Truncated, 1),
        (b"{\"a\":1,}", Unexpected, 7),
        (b"[1,]", Unexpected, 3),
        (b"[,1]", Unexpected, 1),
        (b"{\"a\" 1}", Unexpected, 5),
        (b"{\"a\":1 \"b\":2}", Unexpected, 7),
        (b"{a:1}", Unexpected, 1),
        (b"[1}", Unexpected, 2),
        (b"{\"a\":1]", Unexpected, 6),
        (b"{]", Unexpected, 1),
        (b"\xef\xbb\xbf{}", Unexpected, 0),
        (b"'a'", Unexpected, 0),
        (b"+1", Unexpected, 0),
        (b"{} {}", Trailing, 3),
        (b"1 x", Trailing, 2),
        (b"trux", BadLiteral, 3),
        (b"nul}", BadLiteral, 3),
        (b"[01]", BadNumber, 2),
        (b"[1.]", BadNumber, 3),
        (b"[1e]", BadNumber, 3),
        (b"\"a\nb\"", ControlInString, 2),
        (b"\"\x00\"", ControlInString, 1),
        (b"\"\\x\"", BadEscape, 2),
        (b"\"\\u12g4\"", BadEscape, 5),
        (b"\"a\xff\"", InvalidUtf8, 2),
        (b"\"a\xe2\x01\"", InvalidUtf8, 2),
        (b"{\"\xc3\x28\":1}", InvalidUtf8, 2),
    ];
    for (document, kind, at) in rows {
        assert_eq!(
            scan_every_way(document),
            Err(Fault { at, kind }),
            "{:?}",
            String::from_utf8_lossy(document)
        );
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
    assert!(scan([nested(MAX_DEPTH).as_bytes()]).is_ok());
    let fault = Fault { at: MAX_DEPTH, kind: FaultKind::TooDeep };
    assert_eq!(scan([nested(MAX_DEPTH + 1).as_bytes()]), Err(fault));
}

#[test]
fn surrogates_pair_up_or_are_replaced() {
    let rows = [
        (r#""\ud83d\ude00""#, "😀"),
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\ude00""#, "\u{fffd}"),
        (r#""\ud83dx""#, "\u{fffd}x"),
        (r#""\ud83d\n""#, "\u{fffd}\n"),
        (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
    ];
    for (document, text) in rows {
        let log = scan_every_way(document.as_bytes()).unwrap();
        assert_eq!(log.lines, [format!("0 string {text:?} 0..{}", document.len())]);
    }
}

#[test]
fn long_keys_are_cut_alike_whole_or_in_pieces() {
    let document = format!(r#"{{"{}":1}}"#, "k".repeat(KEY_BYTES_MAX + 5));
    let log = scan_every_way(document.as_bytes()).unwrap();
    assert_eq!(log.lines[1], format!("0 key {} at 1", "k".repeat(KEY_BYTES_MAX)));
}

#[test]
fn nothing_behind_a_fault_is_seen_wherever_it_is_cut() {
    for document in
        [&b"{\"a\":\"\xff\",\"b\":1}"[..], b"{\"a\xe2\x82\":1,\"b\":2}", b"[1,\xc3,2]", b"[1,x,2]"]
    {
        for at in 0..=document.len() {
            let (head, tail) = document.split_at(at);
            let (mut scanner, mut log) = (Scanner::new(), Log::default());
            let fed = scanner.feed(head, &mut log).and_then(|()| scanner.feed(tail, &mut log));
            let (mut whole, mut expect) = (Scanner::new(), Log::default());
            assert_eq!(fed, whole.feed(document, &mut expect), "split at {at}");
            assert!(
                fed.is_err()
                    && !expect.lines.iter().any(|line| line.contains("key b") || line.contains("Integer(2)"))
            );
            assert_eq!((log.lines, scanner.offset()), (expect.lines, whole.offset()), "split at {at}");
        }
    }
}

#[test]
fn a_fault_is_final_until_reset() {
    let (mut scanner, mut log) = (Scanner::new(), Log::default());
    let fault = scanner.feed(b"[}", &mut log).unwrap_err();
    assert_eq!(scanner.feed(b"]", &mut log), Err(fault));
    assert_eq!(scanner.finish(&mut log), Err(fault));
    scanner.reset();
    assert!(scanner.feed(b"[]", &mut log).is_ok() && scanner.finish(&mut log).is_ok());
}

/// JSON values as text, with odd spacing and escapes, so that mutations stay near the grammar.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| serde_json::to_string(&n).unwrap()),
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        "\"(\\\\u[0-9a-fA-F]{4}|\\\\[\"\\\\/bfnrt]|[a-zé ])*\"",
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec((any::<String>(), inner), 0..5).prop_map(|members| {
                let text = |(key, value)| format!("{}:\n{value}", serde_json::to_string(&key).unwrap());
                format!("{{ {} }}", members.into_iter().map(text).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

/// Bytes that mean something to a scanner.
const NEAR: &[u8] = b"{}[]\",:\\0-1.eE tfnu\x00\x1f\xc3\xe2";

fn oracle_says_valid(document: &[u8]) -> bool {
    std::str::from_utf8(document).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(document).is_ok()
}

proptest! {
    #[test]
    fn valid_as_the_oracle_says(
        text in json_text(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut document = text.into_bytes();
        for (at, how, byte) in mutations {
            let at = at.index(document.len() + 1);
            let near = NEAR[usize::from(byte) % NEAR.len()];
            match how {
                0 => document.insert(at, near),
                1 if at < document.len() => document[at] = near,
                2 if at < document.len() => document[at] = byte,
                3 if at < document.len() => { document.remove(at); }
                _ => {}
            }
        }
        let whole = scan([&document[..]]);
        prop_assert_eq!(whole.is_ok(), oracle_says_valid(&document), "{:?}", whole);
        let (head, tail) = document.split_at(cut.index(document.len() + 1));
        prop_assert_eq!(&scan([head, tail]), &whole);
        prop_assert_eq!(&scan(document.chunks(1)), &whole);
    }

    #[test]
    fn strings_decode_as_the_oracle_does(text in "\"(\\\\u[0-9a-fA-F]{4}|\\\\ud83d\\\\ude0[0-9]|\\\\[\"\\\\/bfnrt]|[a-zé ])*\"") {
        if let Ok(expect) = serde_json::from_str::<String>(&text) {
            let log = scan([text.as_bytes()]).unwrap();
            prop_assert_eq!(&log.lines[0], &format!("0 string {expect:?} 0..{}", text.len()));
            prop_assert_eq!(unescape::text(&text.as_bytes()[1..text.len() - 1]).unwrap(), expect);
        }
    }
}
