//! The index against its oracle: a scan of all candidates in the order of their rank.

use super::host;
use super::rank::Rank;
use super::*;
use proptest::prelude::*;
use proptest::sample::select;

/// Tries every candidate and takes the one of the smallest rank.
fn naive_find(candidates: &[Candidate], request: &Request<'_>) -> Option<u32> {
    let host = host::of_authority(request.host);
    let takes_host = |candidate: &Candidate| match candidate.hostname.as_deref() {
        None | Some("" | "*") => true,
        Some(hostname) => host.as_ref().is_some_and(|host| host::covers(hostname, host)),
    };
    let numbered = candidates.iter().enumerate();
    numbered
        .filter(|(_, candidate)| takes_host(candidate) && candidate.matches.accepts(request))
        .min_by_key(|(place, candidate)| Rank::of(candidate, *place))
        .map(|(_, candidate)| candidate.target)
}

struct Headers(Vec<(&'static str, &'static str)>);

impl HeaderLookup for Headers {
    fn value(&self, name: &str) -> Option<&[u8]> {
        let field = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_bytes())
    }
}

const HOSTNAMES: [&str; 9] =
    ["", "*", "a.com", "b.a.com", "c.b.a.com", "*.com", "*.a.com", "*.b.a.com", "*.xb.a.com"];
const HOSTS: [&str; 9] =
    ["a.com", "A.com:80", "b.a.com", "c.b.a.com", "d.c.b.a.com.", "x.xb.a.com", ".com", "net", ""];
const PREFIXES: [&str; 10] = ["/", "/a", "/a/", "/b", "/a/b", "/a/b/c", "/aa", "/a//b", "//", "/b/a"];
const PATHS: [&str; 17] = [
    "/", "", "*", "/a", "/a/", "/aa", "/a/b", "/a/b/", "/a/bc", "/a/b/c", "/a/b/c/d", "/a//b", "//",
    "/b/a/x", "/b", "/c", "//a",
];
const HEADERS: [&[(&str, &str)]; 4] = [&[], &[("x-a", "1")], &[("X-A", "2"), ("x-b", "1")], &[("x-b", "3")]];
const REGEXES: [&str; 6] = ["/a.*", "/[ab]", ".*", "/a/b(/.*)?", "x*", ".+a.+"];

fn path_match() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        select(&PATHS[..]).prop_map(|path| PathMatch::Exact(path.into())),
        select(&PREFIXES[..]).prop_map(|prefix| PathMatch::Prefix(prefix.into())),
        select(&REGEXES[..]).prop_map(|regex| PathMatch::Regex(full_regex(regex).expect("an expression"))),
    ]
}

fn entries(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(String, ValueMatch)>> {
    let exact = select(&["1", "2"][..]).prop_map(|value| ValueMatch::Exact(value.into()));
    let regex = Just(ValueMatch::Regex(full_regex("[12]").expect("an expression")));
    prop::collection::vec((select(names).prop_map(String::from), prop_oneof![exact, regex]), 0..3)
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let method = prop::option::weighted(0.3, select(&["GET", "POST"][..]).prop_map(String::from));
    let headers = entries(&["x-a", "X-A", "x-b"]);
    (path_match(), method, headers, entries(&["p", "q"]))
        .prop_map(|(path, method, headers, query)| RouteMatch { path, method, headers, query })
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let created = select(&[None, Some("2024-01-01T00:00:00Z"), Some("2025-01-01T00:00:00Z")][..]);
    let hostname = prop::option::of(select(&HOSTNAMES[..]));
    (hostname, route_match(), created, select(&["a/a", "a/b"][..]), 0u32..2).prop_map(
        |(hostname, matches, created, route, rule)| Candidate {
            hostname: hostname.map(String::from),
            matches: matches.normalized(),
            created: created.map(String::from),
            route: route.into(),
            rule,
            target: 0,
        },
    )
}

/// A candidate on one of few paths, for any host.
fn crowded() -> impl Strategy<Value = Candidate> {
    let path = prop_oneof![
        Just(PathMatch::Exact("/a/b".into())),
        Just(PathMatch::Prefix("/a".into())),
        select(&REGEXES[..]).prop_map(|regex| PathMatch::Regex(full_regex(regex).expect("an expression"))),
    ];
    (candidate(), path).prop_map(|(candidate, path)| {
        let matches = RouteMatch { path, ..candidate.matches };
        Candidate { hostname: None, matches, ..candidate }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_index_answers_as_a_scan_by_rank_does(
        candidates in prop::collection::vec(candidate(), 0..40),
        method in select(&["GET", "POST", "get"][..]),
        query in prop::option::of(select(&["p=1", "p=1&q=2", "q=%32&p=3", "p=3&p=1", ""][..])),
        headers in select(&HEADERS[..]),
    ) {
        let candidates: Vec<Candidate> = (0..)
            .zip(candidates)
            .map(|(target, candidate)| Candidate { target, ..candidate })
            .collect();
        let table = Table::new(candidates.clone());
        let headers = Headers(headers.to_vec());
        for host in HOSTS {
            for path in PATHS {
                let request = Request {
                    host: host.as_bytes(),
                    method: method.as_bytes(),
                    path: path.as_bytes(),
                    query: query.map(str::as_bytes),
                    headers: &headers,
                };
                let expected = naive_find(&candidates, &request);
                prop_assert_eq!(table.find(&request), expected, "{} {}", host, path);
            }
        }
    }

    /// Many matches on few paths: here the index by headers, parameters and beginnings answers.
    #[test]
    fn long_lists_answer_as_a_scan_by_rank_does(
        candidates in prop::collection::vec(crowded(), 20..120),
        method in select(&["GET", "POST"][..]),
        query in prop::option::of(select(&["p=1", "p=1&q=2", "q=%32&p=3", "p=%31", "q=+2", "p=&q=2"][..])),
        team in select(&["1", "2", "3", ""][..]),
        other in select(&["1", "2", "3"][..]),
    ) {
        let candidates: Vec<Candidate> = (0..)
            .zip(candidates)
            .map(|(target, candidate)| Candidate { target, ..candidate })
            .collect();
        let table = Table::new(candidates.clone());
        let headers = Headers(vec![("x-a", team), ("x-b", other)]);
        for path in ["/", "/a", "/a/b", "/b/c", "/ab", "", "x"] {
            let (host, path, query) = (b"a.com", path.as_bytes(), query.map(str::as_bytes));
            let request = Request { host, method: method.as_bytes(), path, query, headers: &headers };
            prop_assert_eq!(table.find(&request), naive_find(&candidates, &request), "{:?}", path);
        }
    }

    #[test]
    fn no_bytes_make_a_look_up_panic(
        host in prop::collection::vec(any::<u8>(), 0..300),
        path in prop::collection::vec(any::<u8>(), 0..64),
        query in prop::option::of(prop::collection::vec(any::<u8>(), 0..64)),
        candidates in prop::collection::vec(candidate(), 0..10),
    ) {
        let headers = Headers(vec![("x-a", "1")]);
        let (host, path, query) = (&host[..], &path[..], query.as_deref());
        let request = Request { host, method: b"GET", path, query, headers: &headers };
        prop_assert_eq!(Table::new(candidates.clone()).find(&request), naive_find(&candidates, &request));
    }
}

#[test]
fn an_expression_must_match_the_whole_value_and_stay_small() {
    for (pattern, value, matched) in [
        ("b", "abc", false),
        ("a|abc", "abc", true),
        (".*", "abc", true),
        ("^abc$", "abc", true),
        ("abc\n?", "abc\n", true),
        ("abc", "abc\n", false),
        ("", "", true),
        ("(?m)^b$", "a\nb", false),
    ] {
        assert_eq!(full_regex(pattern).expect("an expression").is_match(value), matched, "{pattern}");
    }
    for bad in ["(", "a)|(b", r"(\w{100}){100}{100}", "(?x) a # comment"] {
        assert!(full_regex(bad).is_err(), "{bad}");
    }
}
