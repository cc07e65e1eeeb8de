//! How long it takes to find the rule that serves a request, among 1, 100 and 1000 routes.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tollgate::route::{
    Candidate, HeaderLookup, PathMatch, Request, RouteMatch, Table, ValueMatch, full_regex,
};

criterion_group!(benches, find);
criterion_main!(benches);

/// A way to tell routes apart: a name, how route `n` matches, and the request for it.
struct Shape {
    name: &'static str,
    candidate: fn(usize) -> Candidate,
    request: fn(usize) -> (String, String, String),
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: "prefix",
        candidate: |n| candidate(None, PathMatch::Prefix(format!("/team-{n}")), vec![]),
        request: |n| ("gateway.local:8080".into(), format!("/team-{n}/v1/chat/completions"), String::new()),
    },
    Shape {
        name: "host",
        candidate: |n| {
            candidate(Some(format!("team-{n}.example.com")), PathMatch::Prefix("/v1".into()), vec![])
        },
        request: |n| (format!("team-{n}.example.com"), "/v1/chat/completions".into(), String::new()),
    },
    Shape {
        name: "header",
        candidate: |n| {
            let header = ("x-model".into(), ValueMatch::Exact(format!("model-{n}")));
            candidate(None, PathMatch::Exact("/v1/chat/completions".into()), vec![header])
        },
        request: |n| ("gateway.local".into(), "/v1/chat/completions".into(), format!("model-{n}")),
    },
    Shape {
        name: "regex",
        candidate: |n| {
            let regex = full_regex(&format!("/team-{n}/v[12]/.*")).expect("an expression");
            candidate(None, PathMatch::Regex(regex), vec![])
        },
        request: |n| ("gateway.local".into(), format!("/team-{n}/v1/chat/completions"), String::new()),
    },
];

fn find(criterion: &mut Criterion) {
    for shape in SHAPES {
        let mut group = criterion.benchmark_group(format!("route/find/{}", shape.name));
        for routes in [1, 100, 1000] {
            let table = Table::new((0..routes).map(shape.candidate).collect());
            // The last one: where order decides, it is the worst.
            let (host, path, model) = (shape.request)(routes - 1);
            let headers = Head(vec![
                ("host", &host),
                ("user-agent", "OpenAI/Python 1.99"),
                ("accept", "application/json"),
                ("content-type", "application/json"),
                ("authorization", "Bearer sk-0123456789abcdef"),
                ("x-model", &model),
            ]);
            let (host, path) = (host.as_bytes(), path.as_bytes());
            let request = Request { host, method: b"POST", path, query: None, headers: &headers };
            assert_eq!(table.find(&request), Some(0), "every route leads to the same target");
            group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
                bencher.iter(|| table.find(black_box(&request)));
            });
        }
    }
}

struct Head<'a>(Vec<(&'a str, &'a str)>);

impl HeaderLookup for Head<'_> {
    fn value(&self, name: &str) -> Option<&[u8]> {
        let field = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_bytes())
    }
}

fn candidate(hostname: Option<String>, path: PathMatch, headers: Vec<(String, ValueMatch)>) -> Candidate {
    let matches = RouteMatch { path, method: Some("POST".into()), headers, query: vec![] };
    let route = "default/route".into();
    Candidate { hostname, matches, created: None, route, rule: 0, target: 0 }
}
