//! The name in the handshake: it chooses the listener, its certificates and its routes.

use super::*;

/// A route that redirects to a path that says through which listener it was reached.
fn says(listener: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: at-{listener}, namespace: llm}}\n\
         spec:\n  parentRefs: [{{name: edge, sectionName: {listener}}}]\n  rules:\n  - matches: [{{path: {{value: /who}}}}]\n    \
         filters: [{{type: RequestRedirect, requestRedirect: {{hostname: who, path: {{type: ReplaceFullPath, \
         replaceFullPath: /{listener}}}}}}}]\n"
    )
}

#[test]
fn the_name_chooses_the_listener_its_certificate_and_its_routes() {
    let authority = Authority::new();
    let identity = |name: &str| authority.identity(name, 2020, 2100);
    // Each is told by its certificate; the client looks at the certificate itself.
    let (any, wild, exact, deep) = (
        identity("any.test"),
        identity("*.example.com"),
        identity("a.example.com"),
        identity("*.b.example.com"),
    );
    let listeners = [
        listener("any", "", "{name: any}"),
        listener("wild", "hostname: \"*.example.com\", ", "{name: wild}"),
        listener("exact", "hostname: a.example.com, ", "{name: exact}"),
        listener("deep", "hostname: \"*.b.example.com\", ", "{name: deep}"),
    ];
    let more = [
        secret("any", &any) + &secret("wild", &wild) + &secret("exact", &exact) + &secret("deep", &deep),
        ["any", "wild", "exact", "deep"].map(says).concat(),
    ];
    let rig = Rig::start_with(Script::default(), &behind(&listeners, &more.concat()), &settings(QUIET));
    let careless = secure::careless();
    for (name, host, shown, answered) in [
        ("a.example.com", "a.example.com", &exact, Ok("exact")),
        ("a.example.com", "A.Example.com:8443", &exact, Ok("exact")),
        ("A.EXAMPLE.com", "a.example.com", &exact, Ok("exact")),
        ("x.example.com", "x.example.com", &wild, Ok("wild")),
        ("x.example.com", "y.example.com", &wild, Ok("wild")),
        ("y.x.example.com", "x.example.com", &wild, Ok("wild")),
        ("c.b.example.com", "d.c.b.example.com", &deep, Ok("deep")),
        ("b.example.com", "b.example.com", &wild, Ok("wild")),
        ("example.com", "example.com", &any, Ok("any")),
        ("other.test", "another.test", &any, Ok("any")),
        ("127.0.0.1", "127.0.0.1", &any, Ok("any")), // no name is sent
        // The host is another listener's: nothing of it may be had under this certificate.
        ("a.example.com", "x.example.com", &exact, Err(421)),
        ("x.example.com", "a.example.com", &wild, Err(421)),
        ("x.example.com", "c.b.example.com", &wild, Err(421)),
        ("c.b.example.com", "b.example.com", &deep, Err(421)),
        ("other.test", "a.example.com", &any, Err(421)),
        ("127.0.0.1", "x.example.com", &any, Err(421)),
        ("a.example.com", "other.test", &exact, Err(421)),
    ] {
        let mut client = Client::secure(rig.address, name, &careless).expect("a handshake");
        assert_eq!(client.certificate(), Some(shown.der()), "{name}");
        client.write(format!("GET /who HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = client.answer();
        let found = match answer.status {
            302 => Ok(answer.header("location").and_then(|at| at.rsplit('/').next()).unwrap_or_default()),
            status => Err(status),
        };
        assert_eq!(found, answered, "{name} {host}: {}", answer.text());
        client.write("GET /who HTTP/1.1\r\nHost: nowhere.test\r\n\r\n");
        assert!(matches!(client.answer().status, 302 | 421), "the connection goes on");
    }
}

#[test]
fn a_name_that_nobody_has_is_refused_in_the_handshake() {
    let authority = Authority::new();
    let listeners = [listener("https", "hostname: \"*.example.com\", ", "{name: crt}")];
    let certificate = secret("crt", &authority.identity("*.example.com", 2020, 2100));
    let rig = Rig::start_with(Script::default(), &behind(&listeners, &certificate), &settings(QUIET));
    for version in VERSIONS {
        let config = secure::config(&authority.pem(), &[version]);
        for name in ["other.test", "example.com", "127.0.0.1"] {
            let refused = Client::secure(rig.address, name, &config).err().expect("a refusal").to_string();
            assert!(refused.contains("UnrecognisedName"), "{name}: {refused}");
        }
        let mut client = Client::secure(rig.address, "a.example.com", &config).expect("a handshake");
        client.write("GET /openai HTTP/1.1\r\nHost: other.test\r\n\r\n");
        assert_eq!(client.answer().status, 404, "no listener of the port has this host");
    }
    until("all are counted", || handshakes(&rig) == [2, 0, 6, 0]);
}

#[test]
fn a_listener_with_several_certificates_shows_the_one_that_is_for_the_name() {
    let authority = Authority::new();
    let names = ["a.test", "b.test", "*.c.test"];
    let identities = names.map(|name| authority.identity(name, 2020, 2100));
    let secrets: String =
        identities.iter().zip(["a", "b", "c"]).map(|(identity, name)| secret(name, identity)).collect();
    let listeners = [listener("https", "", "{name: a}, {name: b}, {kind: Secret, group: \"\", name: c}")];
    let rig = Rig::start_with(Script::default(), &behind(&listeners, &secrets), &settings(QUIET));
    let careless = secure::careless();
    for (name, shown) in [("a.test", 0), ("b.test", 1), ("x.c.test", 2), ("c.test", 0), ("127.0.0.1", 0)] {
        let client = Client::secure(rig.address, name, &careless).expect("a handshake");
        assert_eq!(client.certificate(), Some(identities[shown].der()), "{name}");
    }
}
