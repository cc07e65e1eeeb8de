//! Tables of many routes, and finding the rule that serves a request.

use std::hint::black_box;
use tollgate::route::{
    Candidate, HeaderLookup, PathMatch, Request, RouteMatch, Table, ValueMatch, full_regex,
};

/// A way to tell routes apart: a name, how route `n` matches, and the request for it.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    candidate: fn(usize) -> Candidate,
    request: fn(usize) -> (String, String, String),
}

pub(crate) const SHAPES: [Shape; 4] = [
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

/// Finds the last of `routes`: where order decides, it is the worst.
pub(crate) fn find(shape: &Shape, routes: usize) -> impl FnMut() + use<> {
    let name = shape.name;
    let table = Table::new((0..routes).map(shape.candidate).collect());
    let (host, path, model) = (shape.request)(routes - 1);
    let headers = Head([
        ("host", host.clone()),
        ("user-agent", "OpenAI/Python 1.99".into()),
        ("accept", "application/json".into()),
        ("content-type", "application/json".into()),
        ("authorization", "Bearer sk-0123456789abcdef".into()),
        ("x-model", model),
    ]);
    move || {
        let (host, path) = (host.as_bytes(), path.as_bytes());
        let request = Request { host, method: b"POST", path, query: None, headers: &headers };
        assert_eq!(table.find(black_box(&request)), Some(0), "{name}: every route leads to the same target");
    }
}

struct Head([(&'static str, String); 6]);

impl HeaderLookup for Head {
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
