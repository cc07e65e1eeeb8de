//! The Gateway API's rules of matching and precedence, as rows: which matches there are, and which of them
//! serves which request.
//!
//! A match is written `name: words`, where a word is `host=`, `exact=`, `prefix=`, `regex=`, `method=`,
//! `h.NAME=` or `q.NAME=` (with `~=` for an expression), `created=`, `route=` or `rule=`; each is a rule of
//! its own unless `rule=` says otherwise. A request is written `METHOD host/path?query NAME=value...`, and
//! `404` stands for no match.

use tollgate::route::{
    Candidate, HeaderLookup, PathMatch, Request, RouteMatch, Table, ValueMatch, full_regex,
};

/// Matches, and the requests that they are asked about with the name of the match that must serve each.
struct Case {
    about: &'static str,
    matches: &'static str,
    requests: &'static [(&'static str, &'static str)],
}

const CASES: &[Case] = &[
    Case {
        about: "exact: case-sensitive, the whole path, byte for byte",
        matches: "one: exact=/one
                  two: exact=/two",
        requests: &[
            ("GET a.com/one", "one"),
            ("GET a.com/two", "two"),
            ("GET a.com/", "404"),
            ("GET a.com/one/example", "404"),
            ("GET a.com/two/", "404"),
            ("GET a.com/Two", "404"),
            ("GET a.com/o%6Ee", "404"),
            ("GET a.com/one?a=1", "one"),
        ],
    },
    Case {
        about: "prefix: by path element",
        matches: "abc: prefix=/abc",
        requests: &[
            ("GET a.com/abc", "abc"),
            ("GET a.com/abc/", "abc"),
            ("GET a.com/abc/def", "abc"),
            ("GET a.com/abc//", "abc"),
            ("GET a.com/abcd", "404"),
            ("GET a.com/Abc", "404"),
            ("GET a.com/ab", "404"),
            ("GET a.com/", "404"),
            ("GET a.com//abc", "404"),
            ("GET a.com/x/abc", "404"),
            ("GET a.com/abc%2Fdef", "404"),
        ],
    },
    Case {
        about: "a trailing slash of a prefix does not count",
        matches: "abc: prefix=/abc/",
        requests: &[
            ("GET a.com/abc", "abc"),
            ("GET a.com/abc/", "abc"),
            ("GET a.com/abc/def", "abc"),
            ("GET a.com/abcd", "404"),
        ],
    },
    Case {
        about: "the prefix / takes every path",
        matches: "all: prefix=/",
        requests: &[
            ("GET a.com/", "all"),
            ("GET a.com", "all"),
            ("CONNECT a.com:443", "all"),
            ("GET a.com/abc/def?x", "all"),
        ],
    },
    Case {
        about: "order of paths: exact, then the longest prefix, whatever the order in the list",
        matches: "v3: prefix=/match
                  v2: prefix=/match/prefix/one
                  v1: prefix=/match/prefix
                  e2: exact=/match/exact
                  e3: exact=/match/exact/one
                  e1: exact=/match",
        requests: &[
            ("GET a.com/match/exact/one", "e3"),
            ("GET a.com/match/exact", "e2"),
            ("GET a.com/match", "e1"),
            ("GET a.com/match/prefix/one/any", "v2"),
            ("GET a.com/match/prefix/any", "v1"),
            ("GET a.com/match/prefix/ones", "v1"),
            ("GET a.com/match/any", "v3"),
            ("GET a.com/matches", "404"),
        ],
    },
    Case {
        about: "an expression matches the whole path and stands after prefixes",
        matches: "versions: regex=/v[12]/.*
                  longer: regex=/v[12]/chat.*
                  chat: prefix=/v1/chat
                  exact: exact=/v2/chat",
        requests: &[
            ("GET a.com/v1/models", "versions"),
            ("GET a.com/v1/chatty", "longer"),
            ("GET a.com/v1/chat/completions", "chat"),
            ("GET a.com/v2/chat", "exact"),
            ("GET a.com/v2/chat/completions", "longer"),
            ("GET a.com/v3/models", "404"),
            ("GET a.com/x/v1/models", "404"),
        ],
    },
    Case {
        about: "methods",
        matches: "v1: method=POST prefix=/
                  v2: method=GET prefix=/
                  p1: method=GET prefix=/path1
                  h1: method=PUT prefix=/ h.version=one
                  b3: method=POST prefix=/path2 h.version=two
                  or1: method=PATCH prefix=/path3
                  or2: method=DELETE prefix=/path4 h.version=three
                  path5: prefix=/path5
                  patch: method=PATCH prefix=/
                  four: prefix=/ h.version=four",
        requests: &[
            ("POST a.com/", "v1"),
            ("GET a.com/", "v2"),
            ("HEAD a.com/", "404"),
            ("get a.com/", "404"),
            ("GET a.com/path1", "p1"),
            ("PUT a.com/ version=one", "h1"),
            ("POST a.com/path2 version=two", "b3"),
            ("PATCH a.com/path3", "or1"),
            ("DELETE a.com/path4 version=three", "or2"),
            ("PUT a.com/", "404"),
            ("DELETE a.com/path4", "404"),
            ("PATCH a.com/path5", "path5"),
            ("PATCH a.com/ version=four", "patch"),
            ("HEAD a.com/ version=four", "four"),
        ],
    },
    Case {
        about: "headers: names without case, values with case, all must hold, the larger number wins",
        matches: "v1: prefix=/ h.version=one
                  v2: prefix=/ h.Version=two
                  v2-orange: prefix=/ h.version=two h.color=orange
                  color: prefix=/ h.color=blue
                  green: prefix=/ h.color=green",
        requests: &[
            ("GET a.com/ version=one", "v1"),
            ("GET a.com/ VERSION=two", "v2"),
            ("GET a.com/ version=two color=orange", "v2-orange"),
            ("GET a.com/ color=orange", "404"),
            ("GET a.com/ color=blue", "color"),
            ("GET a.com/ Color=green", "green"),
            ("GET a.com/ color=Blue", "404"),
            ("GET a.com/ version=One", "404"),
            ("GET a.com/ version=two color=blue", "v2"),
            ("GET a.com/ version=", "404"),
            ("GET a.com/", "404"),
        ],
    },
    Case {
        about: "headers by expression: the whole value",
        matches: "claude: prefix=/ h.x-model~=claude-.*
                  any: prefix=/ h.x-model~=.+ created=2020-01-01T00:00:00Z",
        requests: &[
            ("POST a.com/ x-model=claude-haiku", "any"),
            ("POST a.com/ x-model=gpt", "any"),
            ("POST a.com/ x-model=", "404"),
            ("POST a.com/", "404"),
        ],
    },
    Case {
        about: "of entries with an equivalent name only the first counts, also in number",
        matches: "twice: prefix=/ h.a=1 h.A=2 q.p=1 q.p=2
                  once: prefix=/ h.a=1 q.p=1 created=2020-01-01T00:00:00Z",
        requests: &[
            ("GET a.com/?p=1 a=1", "once"),
            ("GET a.com/?p=2 a=1", "404"),
            ("GET a.com/?p=1 a=2", "404"),
        ],
    },
    Case {
        about: "query parameters: names and values with case",
        matches: "v1: prefix=/ q.animal=whale
                  v2: prefix=/ q.animal=dolphin
                  v3: prefix=/ q.animal=dolphin q.color=blue
                  upper: prefix=/ q.ANIMAL=Whale
                  path1: prefix=/path1 q.animal=whale
                  one: prefix=/ h.version=one q.animal=whale
                  two: prefix=/path2 h.version=two q.animal=whale
                  path5: prefix=/path5
                  hydra: prefix=/ q.animal=hydra
                  four: prefix=/ h.version=four",
        requests: &[
            ("GET a.com/?animal=whale", "v1"),
            ("GET a.com/?animal=dolphin", "v2"),
            ("GET a.com/?animal=dolphin&color=blue", "v3"),
            ("GET a.com/?color=blue&animal=dolphin", "v3"),
            ("GET a.com/?ANIMAL=Whale", "upper"),
            ("GET a.com/?animal=whale&otherparam=irrelevant", "v1"),
            ("GET a.com/?animal=dolphin&color=yellow", "v2"),
            ("GET a.com/?color=blue", "404"),
            ("GET a.com/?animal=dog", "404"),
            ("GET a.com/?animal=whaledolphin", "404"),
            ("GET a.com/", "404"),
            ("GET a.com/?animal=whale&animal=dolphin", "v1"),
            ("GET a.com/?animal=%77hale", "v1"),
            ("GET a.com/path1?animal=whale", "path1"),
            ("GET a.com/?animal=whale version=one", "one"),
            ("GET a.com/path2?animal=whale version=two", "two"),
            ("GET a.com/path5?animal=hydra", "path5"),
            ("GET a.com/?animal=hydra version=four", "four"),
        ],
    },
    Case {
        about: "query parameters by expression: the whole decoded value",
        matches: "big: prefix=/ q.animal~=(blue|gray).whale",
        requests: &[
            ("GET a.com/?animal=blue+whale", "big"),
            ("GET a.com/?animal=gray%20whale", "big"),
            ("GET a.com/?animal=blue-whales", "404"),
        ],
    },
    Case {
        about: "order of the criteria: path, method, headers, query",
        matches: "path: prefix=/a
                  method: prefix=/ method=GET
                  headers: prefix=/ h.x=1 h.y=1
                  header-query: prefix=/ h.x=1 q.p=1 q.q=1
                  query: prefix=/ q.p=1
                  all: prefix=/",
        requests: &[
            ("GET a.com/a?p=1&q=1 x=1 y=1", "path"),
            ("GET a.com/?p=1&q=1 x=1 y=1", "method"),
            ("PUT a.com/?p=1&q=1 x=1 y=1", "headers"),
            ("PUT a.com/?p=1&q=1 x=1", "header-query"),
            ("PUT a.com/?p=1", "query"),
            ("PUT a.com/", "all"),
        ],
    },
    Case {
        about: "a match with more criteria that fails leaves the request to the next",
        matches: "post: exact=/a method=POST
                  keyed: prefix=/a h.x-key=1
                  root: prefix=/",
        requests: &[
            ("POST a.com/a", "post"),
            ("GET a.com/a x-key=1", "keyed"),
            ("GET a.com/a", "root"),
            ("GET a.com/a/b x-key=2", "root"),
        ],
    },
    Case {
        about: "hostname: port, case and a final dot do not count",
        matches: "here: host=Very.Specific.com prefix=/s1",
        requests: &[
            ("GET very.specific.com/s1", "here"),
            ("GET very.specific.com:1234/s1", "here"),
            ("GET VERY.specific.COM/s1", "here"),
            ("GET very.specific.com./s1", "here"),
            ("GET non.matching.com/s1", "404"),
            ("GET foo.very.specific.com/s1", "404"),
            ("GET specific.com/s1", "404"),
            ("GET very.specific.com/other", "404"),
        ],
    },
    Case {
        about: "hostname: a wildcard takes one label or more, never the apex",
        matches: "wild: host=*.example.com prefix=/",
        requests: &[
            ("GET test.example.com/", "wild"),
            ("GET foo.test.example.com/", "wild"),
            ("GET foo.EXAMPLE.com:80/", "wild"),
            ("GET example.com/", "404"),
            ("GET testexample.com/", "404"),
            ("GET test.example.net/", "404"),
        ],
    },
    Case {
        about: "hostname comes before path: exact, then the longest wildcard, then none",
        matches: "none: exact=/deep/path method=GET
                  com: host=*.com exact=/deep/path
                  wild: host=*.example.com exact=/deep/path
                  wild2: host=*.b.example.com prefix=/deep
                  exact: host=a.b.example.com prefix=/",
        requests: &[
            ("GET a.b.example.com/deep/path", "exact"),
            ("GET c.b.example.com/deep/path", "wild2"),
            ("GET b.example.com/deep/path", "wild"),
            ("GET example.com/deep/path", "com"),
            ("GET example.net/deep/path", "none"),
        ],
    },
    Case {
        about: "what no rule of the most specific hostname takes falls to the next hostname",
        matches: "exact: host=a.b.com prefix=/exact
                  wild: host=*.b.com prefix=/wild
                  com: host=*.com prefix=/com h.x=1
                  none: prefix=/",
        requests: &[
            ("GET a.b.com/exact", "exact"),
            ("GET a.b.com/wild", "wild"),
            ("GET a.b.com/com x=1", "com"),
            ("GET a.b.com/com", "none"),
            ("GET [::1]:8080/exact", "none"),
        ],
    },
    Case {
        about: "an address in brackets is a host like any other",
        matches: "six: host=[::1] prefix=/",
        requests: &[("GET [::1]:8080/", "six"), ("GET [::1]/", "six"), ("GET [::2]/", "404")],
    },
    Case {
        about: "ties across routes: the oldest, one without a timestamp last",
        matches: "unknown: prefix=/ route=a/a
                  younger: prefix=/ route=a/b created=2024-06-01T00:00:00Z
                  older: prefix=/ route=z/z created=2024-05-31T23:59:59Z",
        requests: &[("GET a.com/", "older")],
    },
    Case {
        about: "ties across routes: timestamps are compared as instants, not as text",
        matches: "younger: prefix=/ route=a/a created=2024-06-01T00:30:00Z
                  older: prefix=/ route=b/b created=2024-06-01T02:00:00+02:00",
        requests: &[("GET a.com/", "older")],
    },
    Case {
        about: "ties of age: namespace and name in alphabetical order",
        matches: "z: prefix=/ route=b/a created=2024-06-01T00:00:00Z
                  y: prefix=/ route=a/z created=2024-06-01T00:00:00Z
                  x: prefix=/ route=a/y created=2024-06-01T00:00:00Z",
        requests: &[("GET a.com/", "x")],
    },
    Case {
        about: "ties within a route: the first rule, then the first match",
        matches: "second-rule: prefix=/ route=a/a rule=1
                  first-match: prefix=/ route=a/a rule=0
                  second-match: prefix=/ route=a/a rule=0",
        requests: &[("GET a.com/", "first-match")],
    },
    Case {
        about: "matching across routes with the same hostnames",
        matches: "v1: host=example.com prefix=/ route=infra/part1
                  v2: host=example.com prefix=/v2 route=infra/part2
                  v2-header: host=example.com prefix=/ h.version=two route=infra/part2
                  net: host=example.net prefix=/ route=infra/part1",
        requests: &[
            ("GET example.com/", "v1"),
            ("GET example.com/example", "v1"),
            ("GET example.com/ version=one", "v1"),
            ("GET example.com/v2", "v2"),
            ("GET example.com/v2/example", "v2"),
            ("GET example.com/v2example", "v1"),
            ("GET example.com/foo/v2/example", "v1"),
            ("GET example.com/ version=two", "v2-header"),
            ("GET example.net/v2", "net"),
        ],
    },
    Case { about: "no candidate, no route", matches: "", requests: &[("GET a.com/", "404")] },
];

#[test]
fn every_request_is_served_by_the_match_that_the_gateway_api_says() {
    let mut rows = 0;
    for case in CASES {
        let lines: Vec<(&str, &str)> =
            case.matches.lines().filter_map(|line| line.trim().split_once(": ")).collect();
        // The order of the list must not matter except within a rule: ask the reversed list too.
        for reversed in [false, true] {
            let mut candidates: Vec<Candidate> =
                (0..).zip(&lines).map(|(target, (_, words))| candidate(words, target)).collect();
            if reversed && !case.matches.contains("rule=") {
                candidates.reverse();
            }
            let table = Table::new(candidates);
            for (request, expected) in case.requests {
                let found = find(&table, request).map_or("404", |target| lines[target as usize].0);
                assert_eq!(found, *expected, "{}: {request}", case.about);
            }
        }
        rows += case.requests.len();
    }
    assert!(rows >= 80, "{rows} rows");
}

fn find(table: &Table, request: &str) -> Option<u32> {
    let mut words = request.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let headers = Headers(words.filter_map(|word| word.split_once('=')).collect());
    let (target, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let (host, path) = target.split_at(target.find('/').unwrap_or(target.len()));
    table.find(&Request {
        host: host.as_bytes(),
        method: method.as_bytes(),
        path: path.as_bytes(),
        query: query.map(str::as_bytes),
        headers: &headers,
    })
}

struct Headers<'a>(Vec<(&'a str, &'a str)>);

impl HeaderLookup for Headers<'_> {
    fn value(&self, name: &str) -> Option<&[u8]> {
        assert_eq!(name, name.to_ascii_lowercase(), "names are asked for in lower case");
        let field = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_bytes())
    }
}

fn candidate(words: &str, target: u32) -> Candidate {
    let path = PathMatch::Prefix("/".into());
    let matches = RouteMatch { path, method: None, headers: Vec::new(), query: Vec::new() };
    let route = "default/route".into();
    let mut candidate = Candidate { hostname: None, matches, created: None, route, rule: target, target };
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("no value in {word}"));
        read_word(&mut candidate, key, value);
    }
    candidate
}

fn read_word(candidate: &mut Candidate, key: &str, value: &str) {
    let matches = &mut candidate.matches;
    match key {
        "host" => candidate.hostname = Some(value.into()),
        "exact" => matches.path = PathMatch::Exact(value.into()),
        "prefix" => matches.path = PathMatch::Prefix(value.into()),
        "regex" => matches.path = PathMatch::Regex(full_regex(value).expect("an expression")),
        "method" => matches.method = Some(value.into()),
        "created" => candidate.created = Some(value.into()),
        "route" => candidate.route = value.into(),
        "rule" => candidate.rule = value.parse().expect("a number"),
        _ => match key.split_once('.') {
            Some(("h", name)) => matches.headers.push(value_match(name, value)),
            Some(("q", name)) => matches.query.push(value_match(name, value)),
            _ => panic!("no such word: {key}"),
        },
    }
}

fn value_match(name: &str, value: &str) -> (String, ValueMatch) {
    match name.strip_suffix('~') {
        Some(name) => (name.into(), ValueMatch::Regex(full_regex(value).expect("an expression"))),
        None => (name.into(), ValueMatch::Exact(value.into())),
    }
}
