use super::*;
use crate::access::identity::Shown;
use crate::access::{Asked, Claims, Identity, Key, Location, digest};
use crate::wire::http1::{HeadLimits, HeadScan, Known};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::rc::Rc;

const HEAD: &[u8] =
    b"POST /v1/chat?x=1 HTTP/1.1\r\nHost: api.example.com:8080\r\nX-Team: red\r\nX-Odd: \xff\r\n\r\n";

/// What expressions say of one request.
fn holds(text: &str) -> Result<bool, Failed> {
    holds_of(HEAD, text)
}

/// What they say of the request with this head.
fn holds_of(bytes: &[u8], text: &str) -> Result<bool, Failed> {
    let head =
        HeadScan::default().request(bytes, &HeadLimits::default()).expect("a head").expect("all of it");
    let peer = "[::ffff:10.1.2.3]:4000".parse().expect("an address");
    let asked = Asked { head: &head, bytes, peer, unix_ms: 0, digest: None };
    let claims = json!({"sub": "ann", "age": 41, "big": 18446744073709551615u64, "ratio": 0.5, "on": true, "none": null,
        "groups": ["dev", "ops"], "org": {"unit": "x", "sizes": [1, 2]}});
    let Value::Object(all) = claims else { panic!("an object") };
    let key = Key::new(digest(b"k"), "one")
        .with_metadata(json!({"tier": "gold"}).as_object().expect("one").clone());
    let shown = Shown { key: &key, location: &Location::Usual, header: Known::Authorization };
    let claims = Some(Rc::new(Claims { all, digest: digest(b"t"), expires: i64::MAX }));
    let identity = Identity { key: Some(shown), claims, ..Identity::default() };
    let world = World { asked: &asked, identity: &identity, model: Some("gpt-4o") };
    Expression::compile(text).unwrap_or_else(|fault| panic!("{text}: {fault}")).holds(&world)
}

#[test]
fn what_is_true() {
    for text in [
        "true",
        "!false && !!true",
        "request.method == 'POST' && request.path == \"/v1/chat\"",
        "request.pathAndQuery == '/v1/chat?x=1'",
        "request.path.startsWith('/v1') && request.path.endsWith('chat') && request.path.contains('1/c')",
        "request.host == 'api.example.com'",
        "request.headers['x-team'] == 'red' && request.headers['X-Team'] == r'red'",
        "has(request.headers.host) && !has(request.headers.nothing)",
        "'x-team' in request.headers && !('x-user' in request.headers)",
        "request.headers.exists(h, h == 'x-team') && request.headers.size() == 3",
        "source.address == '10.1.2.3' && source.port == 4000",
        "source.address in ['10.1.2.3', '::1']",
        "cidr('10.0.0.0/8').containsIP(source.address) && !cidr('2001:db8::/32').containsIP(source.address)",
        "cidr('::ffff:10.1.0.0/112').containsIP('10.1.9.9')",
        "jwt.sub == 'ann' && jwt['sub'] == 'ann' && jwt.org.unit == 'x' && jwt.org.sizes[1] == 2",
        "'dev' in jwt.groups && !('sec' in jwt.groups) && jwt.groups.size() == 2 && size(jwt.groups) == 2u",
        "jwt.groups.exists(g, g.startsWith('op')) && jwt.groups.all(g, size(g) == 3)",
        "jwt.groups.exists_one(g, g == 'dev') && !jwt.groups.exists_one(g, true)",
        "jwt.groups.exists(g, jwt.groups.exists(h, g != h))",
        "jwt.groups == ['dev', 'ops'] && jwt.groups[0] != jwt.groups[1]",
        "jwt.exists(name, name == 'sub') && 'sub' in jwt && !('aud' in jwt)",
        "has(jwt.sub) && !has(jwt.aud) && has(jwt.org.unit)",
        "jwt.age == 41 && jwt.age == 41u && jwt.age == 41.0 && jwt.age > 40.5 && jwt.age <= 41",
        "jwt.big == 18446744073709551615u && jwt.big > 9223372036854775807 && jwt.big > 1e19",
        "jwt.ratio == 0.5 && jwt.ratio < 1 && jwt.on && jwt.none == null",
        "apiKey.tier == 'gold' && has(apiKey.tier) && !has(apiKey.team)",
        "!has(basicAuth.username)",
        "llm.requestModel.matches('^gpt-[0-9]') && has(llm.requestModel)",
        "jwt.sub.upperAscii() == 'ANN' && 'ANN'.lowerAscii() == jwt.sub",
        "request.path == '/v1/' + 'chat'",
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 7 / 2 == 3 && 7 % 2 == 1 && 1.5 + 1.5 == 3.0 && -(-2) == 2 && 1 - 1 - 1 == -1",
        "5u - 2u == 3u && 0x1F == 31 && 'a' < 'b' && 2 >= 2 && false < true",
        "true ? true : 1 / 0 == 1",
        "false ? 1 / 0 == 1 : 'a' != 'b'",
        "string(41) == '41' && int('41') == 41 && int(2.9) == 2 && string(source.address) == '10.1.2.3' && string(true) == 'true'",
        "default(jwt.aud, 'none') == 'none' && default(jwt.sub, 'none') == 'ann'",
        "size('\\u00e9\\x41\\101\\n') == 4 && '''it's''' == \"it's\" && r'\\d' == '\\\\d'",
        "'a' in ['b', 'a'] && !('c' in []) && [] == [] && [1, 2.0] == [1.0, 2]",
        "jwt.sub != 7 && !(null == false)",
        // An answer that is known makes up for one that is not.
        "jwt.aud == 'x' || jwt.sub == 'ann'",
        "jwt.sub == 'ann' || jwt.aud == 'x'",
        "!(jwt.aud == 'x' && jwt.sub == 'bob')",
        "['a', jwt.groups[0]].exists(g, g[9] == 1 || g == 'dev')",
        "// a comment\n true // and another",
    ] {
        assert_eq!(holds(text), Ok(true), "{text}");
    }
}

/// However a client spells what it asks for, a rule sees what routing and the host behind us do.
#[test]
fn a_request_has_one_spelling() {
    for (target, host, path, all, name) in [
        ("/admin?x=1", "a", "/admin", "/admin?x=1", "a"),
        ("/admin", "A.Example.", "/admin", "/admin", "a.example"),
        ("http://A.b:80/admin?x", "a.b:80", "/admin", "/admin?x", "a.b"),
        ("HTTP://a?x=%2d", "a", "/", "/?x=-", "a"),
        ("http://a", "a", "/", "/", "a"),
        ("/%61dmin?%78=%2F", "[::1]:8080", "/admin", "/admin?x=%2F", "[::1]"),
        ("/a%2Fdmin?", "a.:80", "/a%2Fdmin", "/a%2Fdmin?", "a"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        for (field, expected) in [("path", path), ("pathAndQuery", all), ("host", name)] {
            let text = format!("request.{field} == '{expected}'");
            assert_eq!(holds_of(head.as_bytes(), &text), Ok(true), "{target} {host}: {text}");
        }
    }
}

#[test]
fn what_has_no_value() {
    for text in [
        "jwt.aud == 'x'",
        "jwt.aud == 'x' || false",
        "jwt.aud == 'x' && true",
        "request.headers['x-odd'] == 'x'",
        "request.headers.nothing == ''",
        "1 / 0 == 1 || 1 % 0 == 1",
        "9223372036854775807 + 1 > 0",
        "-9223372036854775807 - 2 < 0",
        "1u - 2u < 5u",
        "1 + 1.0 == 2.0",
        "'1' < 2",
        "jwt.sub",
        "jwt.sub == 'ann' ? 1 : 2",
        "jwt.sub && true",
        "!jwt.sub",
        "jwt.groups[2] == 'x' || jwt.groups[-1] == 'x'",
        "jwt.sub.exists(c, true)",
        "jwt.groups.exists_one(g, g.nothing)",
        "cidr('10.0.0.0/8').containsIP(jwt.sub)",
        "source.address == jwt.sub",
        "basicAuth.username == 'ann'",
        "int('4x') == 4 || int(1e300) == 1",
        "size(7) == 1",
        "jwt.sub in 'annual'",
    ] {
        assert_eq!(holds(text), Err(Failed::Valueless), "{text}");
    }
}

#[test]
fn what_would_not_end_is_stopped() {
    let wide = format!("[{}]", vec!["0"; 100].join(","));
    let endless = format!("{wide}.all(a, {wide}.all(b, {wide}.all(c, a == b || b == c || true)))");
    assert_eq!(holds(&endless), Err(Failed::Endless));
    assert_eq!(holds(&format!("default({endless}, true)")), Err(Failed::Endless));
    assert_eq!(holds(&format!("{endless} || true")), Err(Failed::Endless));
}

#[test]
fn what_is_no_expression_is_said_with_its_place() {
    let deep = format!("{}true{}", "(".repeat(1000), ")".repeat(1000));
    let lists = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    let (minus, dots) = (format!("{}1 == 1", "-".repeat(1000)), format!("jwt{}", ".a".repeat(1000)));
    let sums = format!("1{} == 1", " + 1".repeat(1000));
    let long = format!("true || '{}' == ''", "a".repeat(TEXT_MAX));
    for (text, at, expected) in [
        ("", 1, "the expression ends where a value should be"),
        ("jwt.sub ==", 11, "the expression ends where a value should be"),
        ("jwt.sub = 'x'", 9, "the expression should end here"),
        ("é", 1, "'é' means nothing here"),
        ("'é' == é", 8, "'é' means nothing here"),
        ("jwt.sub == 'x", 12, "this text has no end"),
        ("'a\nb'", 1, "this text has no end in its line"),
        ("'\\q'", 2, "this escape is not one of the language's"),
        ("b'x' == b'x'", 1, "bytes are not supported"),
        ("99999999999999999999 > 1", 1, "this number is malformed or too large"),
        ("(true", 6, "a \")\" is missing here"),
        ("true ? 1", 9, "a \":\" is missing here"),
        ("request", 1, "name a field of request: method, path, pathAndQuery, host, headers"),
        ("request.body == ''", 9, "request has no field \"body\" here; it has method, path"),
        ("llm.prompt == ''", 5, "llm has no field \"prompt\" here; it has requestModel"),
        (
            "response.code == 1",
            1,
            "\"response\" is no variable here; there are request, source, jwt, apiKey, basicAuth, llm",
        ),
        ("apiKey.key == 'k'", 8, "the key itself cannot be asked for"),
        ("apiKey['key'] == 'k'", 7, "the key itself cannot be asked for"),
        (
            "source.address in ['10.0.0.0/8']",
            16,
            "an address is compared with an address; for networks write cidr",
        ),
        ("source.address == '10.'", 16, "an address is compared with an address"),
        ("cidr('10.0.0.0/33').containsIP(source.address)", 1, "cidr(...) wants a network as a text"),
        ("cidr('10.0.0.0/8')", 1, "ask something of the network"),
        ("cidr('10.0.0.0/8').prefix()", 20, "of a network can only be asked"),
        ("jwt.sub.matches('(')", 9, "this is no regular expression"),
        ("jwt.sub.matches(jwt.iss)", 9, "matches(...) wants its expression as a text"),
        ("jwt.groups.map(g, g) == []", 12, "map and filter make lists"),
        ("jwt.groups.exists(g, h)", 22, "\"h\" is no variable here"),
        ("jwt.groups.exists('g', true)", 12, "the macro wants a name first"),
        ("size(jwt.sub, 1) == 1", 1, "size takes 1 arguments here, not 2"),
        ("jwt.sub.startsWith() == true", 9, "startsWith takes 1 arguments here, not 0"),
        (
            "startsWith(jwt.sub, 'a')",
            1,
            "\"startsWith\" is no function that can be called so; there are contains,",
        ),
        ("json(request.path).a", 1, "\"json\" is no function that can be called so"),
        ("has(jwt['sub'])", 1, "has(...) wants a field"),
        ("{'a': 1} == {}", 1, "maps cannot be written here"),
        (&deep, 49, "more than 48 parts stand within each other"),
        (&lists, 49, "more than 48 parts stand within each other"),
        (&minus, 1, "more than 48 parts stand within each other"),
        (&dots, 98, "more than 48 parts stand within each other"),
        (&sums, 191, "more than 48 parts stand within each other"),
        (&long, 1, "the expression has 16400 bytes; at most 16384 are allowed"),
    ] {
        let fault = Expression::compile(text).expect_err(text);
        let start: String = text.chars().take(60).collect();
        assert!(fault.message.starts_with(expected), "{start}: {fault}");
        assert_eq!(fault.at, at, "{start}: {fault}");
    }
}

#[test]
fn an_expression_says_whether_it_asks_for_the_model() {
    for (text, expected) in
        [("llm.requestModel == 'x'", true), ("has(llm.requestModel)", true), ("jwt.llm == 'x'", false)]
    {
        assert_eq!(Expression::compile(text).expect(text).asks_for_model(), expected, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is made of the language's words compiles or does not, and has a value or none, and never panics.
    #[test]
    fn no_text_makes_it_panic(words in proptest::collection::vec(prop_oneof![
        Just("jwt".to_owned()), Just(".groups".to_owned()), Just(".sub".to_owned()), Just("request.path".to_owned()),
        Just("(".to_owned()), Just(")".to_owned()), Just("[".to_owned()), Just("]".to_owned()), Just(",".to_owned()),
        Just("==".to_owned()), Just("&&".to_owned()), Just("||".to_owned()), Just(" in ".to_owned()), Just("!".to_owned()),
        Just("-".to_owned()), Just("?".to_owned()), Just(":".to_owned()), Just("'a'".to_owned()), Just("1".to_owned()),
        Just(".exists(g,".to_owned()), Just("g".to_owned()), Just("has(".to_owned()), Just(".size()".to_owned()),
        "\\PC{0,4}", "[0-9.eExu]{1,6}", "['\"\\\\a-z]{1,6}",
    ], 0..14)) {
        let text = words.concat();
        if Expression::compile(&text).is_ok() {
            let _ = holds(&text);
        }
    }

    /// Whole numbers and doubles compare as numbers do.
    #[test]
    fn numbers_compare_as_numbers(one: i64, other: i32, fraction in 0u8..4) {
        let double = f64::from(other) + f64::from(fraction) / 4.0;
        let exact = i128::from(one) * 4 < i128::from(other) * 4 + i128::from(fraction);
        prop_assume!(one > i64::MIN);
        prop_assert_eq!(holds(&format!("{one} < {double:?}")), Ok(exact));
        prop_assert_eq!(holds(&format!("{double:?} > {one}")), Ok(exact));
    }
}
