//! Who may call, beside filters: what is answered or copied before a request gets to its backend.

use crate::support::{Answer, Rig, chat, manifests, settings, until};
use tollgate_loadtest::Script;

/// A route below `/NAME` to a backend of the usual ones, or to none, with these filters.
fn route(name: &str, filters: &str, backend: &str) -> String {
    let backends = match backend {
        "" => String::new(),
        name => {
            format!("    backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, name: {name}}}]\n")
        }
    };
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: llm}}\nspec:\n  \
         parentRefs: [{{name: edge}}]\n  rules:\n  - matches: [{{path: {{value: /{name}}}}}]\n    filters: [{filters}]\n{backends}"
    )
}

/// A policy on a target, `Kind/name`, with this `traffic`.
fn traffic(name: &str, target: &str, traffic: &str) -> String {
    let (kind, of) = target.split_once('/').expect("a kind and a name");
    format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: {name}, namespace: llm}}\n\
         spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: {kind}, name: {of}}}]\n  traffic: {{{traffic}}}\n"
    )
}

/// One key, `k-plain`, that all routes demand at this location.
fn keys(location: &str) -> String {
    let keys = traffic(
        "keys",
        "Gateway/edge",
        &format!("apiKeyAuthentication: {{secretRef: {{name: callers}}{location}}}"),
    );
    "---\napiVersion: v1\nkind: Secret\nmetadata: {name: callers, namespace: llm}\nstringData: {plain: k-plain}\n"
        .to_owned()
        + &keys
}

fn start(policies: &[String]) -> Rig {
    let quiet = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";
    Rig::start_with(Script::default(), &manifests(&policies.concat()), &settings(quiet))
}

const CHAT: &str =
    "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /v1/chat/completions}}}";
const CORS: &str = "{type: CORS, cors: {allowOrigins: [\"https://app.test\"]}}";
const REDIRECT: &str = "{type: RequestRedirect, requestRedirect: {hostname: other.test}}";
const MIRROR: &str = "{type: RequestMirror, requestMirror: {backendRef: {group: gateway.kgateway.dev, kind: Backend, name: host}}}";

/// Browsers ask what they may ask without a credential (Fetch, "CORS-preflight request"), and pages read only refusals that
/// name their origin.
#[test]
fn preflights_are_answered_to_everybody_and_all_else_to_callers() {
    let share = format!(
        "    backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, name: openai, filters: [{CORS}]}}]\n"
    );
    let rig = start(&[
        keys(""),
        route("chat", &format!("{CHAT}, {CORS}"), "openai"),
        route("share", CHAT, "") + &share,
        route("moved", &format!("{CORS}, {REDIRECT}"), ""),
        route("said", CHAT, "openai"),
        traffic("said", "HTTPRoute/said", "directResponse: {status: 418, body: short}"),
        traffic(
            "rules",
            "HTTPRoute/moved",
            "authorization: {policy: {matchExpressions: [\"request.path == '/moved'\"]}}",
        ),
    ]);
    let (origin, key) = ("Origin: https://app.test\r\n", "x-api-key: k-plain\r\n");
    let allows = |answer: &Answer| answer.header("access-control-allow-origin") == Some("https://app.test");
    for (path, headers, status, tells) in [
        ("/chat", "", 401, true),
        ("/chat", key, 200, true),
        ("/share", "", 401, true),
        ("/share", key, 200, true),
        ("/moved", "", 401, true),
        ("/moved", key, 302, true),
        ("/moved/on", key, 403, true),
        ("/said", "", 401, false),
        ("/said", key, 418, false),
        ("/openai", "", 401, false),
    ] {
        let answer = rig.client().ask(path, &format!("{origin}{headers}"), &chat("gpt-5", false));
        assert_eq!((answer.status, allows(&answer)), (status, tells), "{path} {headers}: {}", answer.text());
    }
    let asked = rig.simulator.requests().len();
    for (path, status) in [("/chat", 200), ("/share", 200), ("/moved", 200), ("/openai", 401)] {
        let mut client = rig.client();
        client.write(format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: a\r\n{origin}Access-Control-Request-Method: POST\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!((answer.status, allows(&answer)), (status, status == 200), "{path}: {}", answer.text());
    }
    assert_eq!(rig.simulator.requests().len(), asked, "nobody was asked for a preflight");
}

/// A key in the query is for this gateway: a redirect repeats it to the same origin, and to no other.
#[test]
fn a_redirect_takes_no_key_along_to_another_origin() {
    let redirect = |more: &str| format!("{{type: RequestRedirect, requestRedirect: {{{more}}}}}");
    let own = "path: {type: ReplaceFullPath, replaceFullPath: /new}";
    let rig = start(&[
        keys(", location: {queryParameter: {name: gate}}"),
        route("host", &redirect("hostname: other.test, port: 80"), ""),
        route("scheme", &redirect("scheme: https"), ""),
        route("same", &redirect(own), ""),
    ]);
    for (path, expected) in [
        ("/host?a=1&gate=k%2Dplain&b=2", "http://other.test/host?a=1&b=2"),
        ("/host?gate=k-plain", "http://other.test/host"),
        ("/scheme?gate=k-plain&a", "https://here.test/scheme?a"),
        ("/same?a&gate=k-plain", "http://here.test:PORT/new?a&gate=k-plain"),
    ] {
        let mut client = rig.client();
        client.write(format!("GET {path} HTTP/1.1\r\nHost: here.test\r\n\r\n"));
        let answer = client.answer();
        let location = answer.header("location").unwrap_or_default();
        let (front, back) = expected.split_once(":PORT").unwrap_or((expected, ""));
        assert!(location.starts_with(front) && location.ends_with(back), "{path}: {location}");
        assert_eq!(location.contains("plain"), expected.contains("plain"), "{path}: {location}");
        assert_eq!(location.contains('?'), expected.contains('?'), "{path}: {location}");
    }
}

#[test]
fn copies_do_not_hold_what_was_validated() {
    for (location, headers, query) in [
        ("", "Authorization: Bearer k-plain\r\n", ""),
        (", location: {header: {name: x-gateway-key}}", "X-Gateway-Key: k-plain\r\n", ""),
        (", location: {queryParameter: {name: gate}}", "", "?gate=k%2Dplain&a=1"),
        (", location: {cookie: {name: gate}}", "Cookie: a=1; gate=k-plain\r\n", ""),
    ] {
        let rig = start(&[
            keys(location),
            route("chat", &format!("{CHAT}, {MIRROR}"), "openai"),
            route("files", MIRROR, "host"),
        ]);
        for (path, copies) in [("/chat", 1), ("/files", 2)] {
            let path = format!("{path}{query}");
            assert_ne!(rig.client().ask(&path, headers, &chat("gpt-5", false)).status, 401, "{path}");
            until("the copy is answered", || rig.count(|counters| counters.mirrors_answered.get()) == copies);
        }
        let seen = rig.simulator.requests();
        assert_eq!(seen.len(), 4, "each request, and a copy of it");
        for request in seen {
            let all = format!("{} {:?}", request.target, request.headers);
            let values = request.headers.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
            let is_shown =
                all.contains("k%2Dplain") || values.into_iter().any(|value| value.contains("k-plain"));
            assert!(!is_shown, "{location}: {all}");
        }
        assert_eq!(rig.client().ask("/chat", "", "{}").status, 401, "{location}");
        assert_eq!(rig.count(|counters| counters.mirrors_answered.get()), 2, "what is refused is not copied");
    }
}
