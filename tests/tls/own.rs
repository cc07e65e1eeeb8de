//! TLS of a backend's own: whom it is believed by, what it is shown, and that no other backend's connection serves it.

use super::*;
use rustls::NamedGroup;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::{ALL_KX_GROUPS, kx_group};
use support::process::{Process, tollgate};

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A Gateway, and routes from `/NAME` to each of these AgentgatewayBackends, Services, or plain names.
fn routed(backends: &[(&str, &str)]) -> String {
    let mut text = String::from(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: llm}\nspec:\n  \
         gatewayClassName: agentgateway\n  listeners: [{name: http, protocol: HTTP, port: 8080}]\n",
    );
    for (name, reference) in backends {
        text += &format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: llm}}\nspec:\n  \
             parentRefs: [{{name: edge}}]\n  rules:\n  - matches: [{{path: {{value: /{name}}}}}]\n    filters: [{{type: \
             URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}}}]\n    \
             backendRefs: [{{{reference}}}]\n"
        );
    }
    text
}

fn to_backend(name: &str) -> String {
    format!("group: agentgateway.dev, kind: AgentgatewayBackend, name: {name}")
}

/// A plain host with this `tls`.
fn backend(name: &str, port: u16, tls: &str) -> String {
    format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayBackend\nmetadata: {{name: {name}, namespace: llm}}\nspec:\n  \
         static: {{host: localhost, port: {port}}}\n  policies: {{tls: {tls}}}\n"
    )
}

/// The same as a Service, of which a BackendTLSPolicy says this.
fn service(name: &str, port: u16, policies: &[(&str, &str)]) -> String {
    let mut text = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: llm}}\nspec: {{type: ExternalName, \
         externalName: localhost, ports: [{{name: api, port: {port}}}, {{name: other, port: 1}}]}}\n"
    );
    for (number, (section, validation)) in policies.iter().enumerate() {
        text += &format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: {name}-{number}, \
             namespace: llm}}\nspec:\n  targetRefs: [{{group: \"\", kind: Service, name: {name}{section}}}]\n  \
             validation: {validation}\n"
        );
    }
    text
}

fn quoted(pem: &str) -> String {
    format!("\"{}\"", pem.replace('\n', "\\n"))
}

fn authority(name: &str, authority: &Authority) -> String {
    let pem = quoted(&authority.pem());
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: llm}}\ndata: {{ca.crt: {pem}}}\n"
    )
}

fn secret(name: &str, identity: &Identity, more: &str) -> String {
    let (pem, key) = (quoted(&identity.pem()), quoted(&identity.key_pem()));
    format!(
        "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: {name}, namespace: llm}}\n\
         stringData: {{tls.crt: {pem}, tls.key: {key}{more}}}\n"
    )
}

/// Authorities, and who has a certificate of which.
struct World {
    /// Whom Settings believe, which vouches for none of the servers.
    usual: Authority,
    servers: Authority,
    clients: Authority,
    client: Identity,
    other: Identity,
}

impl World {
    fn new() -> World {
        let clients = Authority::new();
        let (client, other) = (clients.identity("one", 2020, 2100), clients.identity("two", 2020, 2100));
        World { usual: Authority::new(), servers: Authority::new(), clients, client, other }
    }

    /// ConfigMaps `servers` and `usual`; Secrets `client`, `other`, `stranger`, and `whole`, which has the authority too.
    fn resources(&self) -> String {
        let stranger = Authority::new().identity("one", 2020, 2100);
        let ca = format!(", ca.cert: {}", quoted(&self.servers.pem()));
        [
            authority("servers", &self.servers),
            authority("usual", &self.usual),
            secret("client", &self.client, ""),
            secret("other", &self.other, ""),
            secret("stranger", &stranger, ""),
            secret("whole", &self.client, &ca),
        ]
        .concat()
    }

    /// A server, and a gateway whose manifests know its port.
    fn rig(&self, front: &Asked<'_>, manifests: impl FnOnce(u16) -> String) -> Rig {
        let simulator = Simulator::start(front.script.clone()).expect("a simulator");
        let clients = front.demands.then_some(&self.clients);
        let spoken = (front.versions, front.groups);
        let server = Front::asking(front.identity, simulator.addr(), Manner::Polite, spoken, clients);
        let text = manifests(server.address.port()) + &self.resources();
        Rig::serving(simulator, server, (&text, Vec::new()), &self.usual)
    }
}

/// What a server is.
struct Asked<'a> {
    identity: &'a Identity,
    versions: &'a [&'static rustls::SupportedProtocolVersion],
    groups: &'a [&'static dyn SupportedKxGroup],
    demands: bool,
    script: Script,
}

impl<'a> Asked<'a> {
    fn new(identity: &'a Identity, demands: bool) -> Asked<'a> {
        let groups = ALL_KX_GROUPS;
        Asked { identity, versions: &VERSIONS, groups, demands, script: Script::default() }
    }
}

const CA: &str = "caCertificateRefs: [{name: servers}]";
const UNVERIFIED: &str = "its certificate does not verify";
const UNKNOWN: &str = "it does not take the certificate that it was shown, or wants one";

/// What an AgentgatewayBackend says, and what comes of it: nothing is 200.
type Row<'a> = (&'a str, Option<&'static str>);

fn check_backends(world: &World, front: &Asked<'_>, rows: &[Row<'_>]) {
    let names: Vec<String> = (0..rows.len()).map(|number| format!("b{number}")).collect();
    let references: Vec<String> = names.iter().map(|name| to_backend(name)).collect();
    let routes: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(references.iter().map(String::as_str)).collect();
    let rig = world.rig(front, |port| {
        let backends = names.iter().zip(rows).map(|(name, (tls, _))| backend(name, port, tls));
        routed(&routes) + &backends.collect::<String>()
    });
    let mut good = 0;
    for (name, (tls, fault)) in names.iter().zip(rows) {
        let answer = rig.ask(&format!("/{name}/echo"), "{}");
        match fault {
            None => assert_eq!(answer.status, 200, "{tls}: {}", answer.text()),
            // In TLS 1.3 the server looks at the client's certificate when the client may speak already.
            Some(fault) if *fault == UNKNOWN => {
                assert!(matches!(answer.status, 502 | 503), "{tls}: {}", answer.text());
                // Authorities of one name: what does not fit is the signature.
                let told =
                    [UNKNOWN, "the TLS handshake failed"].iter().any(|told| answer.text().contains(told));
                assert!(answer.status == 502 || told, "{tls}: {}", answer.text());
            }
            Some(fault) => {
                assert!(answer.status == 503 && answer.text().contains(fault), "{tls}: {}", answer.text());
            }
        }
        good += u64::from(fault.is_none());
    }
    assert_eq!(rig.simulator.ledger().requests, good, "nobody else was heard");
}

#[test]
fn a_backend_says_whom_to_believe_and_for_which_name() {
    let world = World::new();
    let (local, named) =
        (world.servers.identity("localhost", 2020, 2100), world.servers.identity("api.example", 2020, 2100));
    let expired = world.servers.identity("localhost", 2020, 2021);
    for version in VERSIONS {
        let versions = [version];
        let of = |identity| Asked { versions: &versions, ..Asked::new(identity, false) };
        check_backends(
            &world,
            &of(&local),
            &[
                (&format!("{{{CA}}}"), None),
                ("{}", Some(UNVERIFIED)),
                ("{caCertificateRefs: [{name: usual}]}", Some(UNVERIFIED)),
                ("{mtlsCertificateRef: [{name: client}]}", Some(UNVERIFIED)),
                ("{mtlsCertificateRef: [{name: whole}]}", None),
                (
                    "{mtlsCertificateRef: [{name: whole}], caCertificateRefs: [{name: usual}]}",
                    Some(UNVERIFIED),
                ),
                ("{insecureSkipVerify: Hostname}", Some(UNVERIFIED)),
                ("{insecureSkipVerify: All}", None),
                (&format!("{{{CA}, alpnProtocols: [http/1.1]}}"), None),
            ],
        );
        check_backends(
            &world,
            &of(&named),
            &[
                (&format!("{{{CA}}}"), Some(UNVERIFIED)),
                (&format!("{{{CA}, sni: api.example}}"), None),
                (&format!("{{{CA}, sni: other.example}}"), Some(UNVERIFIED)),
                (&format!("{{{CA}, verifySubjectAltNames: [other.example, API.example]}}"), None),
                (&format!("{{{CA}, verifySubjectAltNames: [other.example]}}"), Some(UNVERIFIED)),
                (
                    &format!("{{{CA}, sni: api.example, verifySubjectAltNames: [localhost]}}"),
                    Some(UNVERIFIED),
                ),
                (&format!("{{{CA}, insecureSkipVerify: Hostname}}"), None),
                ("{sni: api.example}", Some(UNVERIFIED)),
                ("{insecureSkipVerify: All}", None),
            ],
        );
        check_backends(
            &world,
            &of(&expired),
            &[
                (&format!("{{{CA}}}"), Some(UNVERIFIED)),
                (&format!("{{{CA}, insecureSkipVerify: Hostname}}"), Some(UNVERIFIED)),
            ],
        );
    }
}

#[test]
fn a_backend_that_demands_a_certificate_is_shown_its_own() {
    let world = World::new();
    let local = world.servers.identity("localhost", 2020, 2100);
    for version in VERSIONS {
        let front = Asked { versions: &[version], ..Asked::new(&local, true) };
        check_backends(
            &world,
            &front,
            &[
                (&format!("{{{CA}}}"), Some(UNKNOWN)),
                (&format!("{{{CA}, mtlsCertificateRef: [{{name: client}}]}}"), None),
                (&format!("{{{CA}, mtlsCertificateRef: [{{name: stranger}}]}}"), Some(UNKNOWN)),
                ("{mtlsCertificateRef: [{name: whole}]}", None),
                ("{insecureSkipVerify: All, mtlsCertificateRef: [{name: other}]}", None),
            ],
        );
    }
}

#[test]
fn a_backend_says_in_which_groups_keys_are_agreed_on() {
    const NO_HANDSHAKE: &str = "the TLS handshake failed";
    let world = World::new();
    let local = world.servers.identity("localhost", 2020, 2100);
    let over = |groups: &str| format!("{{{CA}, keyExchangeGroups: [{groups}]}}");
    let (every, last) = (ALL_KX_GROUPS, [kx_group::SECP384R1]);
    for version in VERSIONS {
        for (groups, said, agreed) in [
            (every, "P-384", Some(NamedGroup::secp384r1)),
            (every, "P-256", Some(NamedGroup::secp256r1)),
            (every, "X25519", Some(NamedGroup::X25519)),
            (&last, "X25519, P-384", Some(NamedGroup::secp384r1)),
            (&last, "X25519, P-256", None),
        ] {
            let front = Asked { versions: &[version], groups, ..Asked::new(&local, false) };
            let rig = world
                .rig(&front, |port| routed(&[("b", &to_backend("b"))]) + &backend("b", port, &over(said)));
            let answer = rig.ask("/b/echo", "{}");
            assert_eq!(answer.status, if agreed.is_some() { 200 } else { 503 }, "{said}: {}", answer.text());
            assert!(agreed.is_some() || answer.text().contains(NO_HANDSHAKE), "{said}: {}", answer.text());
            assert_eq!(rig.seen()[0].group, agreed, "{said}");
        }
    }
}

#[test]
fn a_service_has_its_tls_from_a_policy() {
    let world = World::new();
    let named = world.servers.identity("api.example", 2020, 2100);
    let uri = world.servers.identity_of_uri("spiffe://a.example/b");
    let usual = world.usual.identity("localhost", 2020, 2100);
    let ca = "caCertificateRefs: [{group: \"\", kind: ConfigMap, name: servers}]";
    let system = "wellKnownCACertificates: System";
    let (one, other) = ("{type: Hostname, hostname: api.example}", "{type: Hostname, hostname: x.example}");
    let id = |uri: &str| format!("{{type: URI, uri: \"spiffe://a.example/{uri}\"}}");
    for (identity, validation, served) in [
        (&named, format!("{{hostname: api.example, {ca}}}"), true),
        (&named, format!("{{hostname: localhost, {ca}}}"), false),
        (&named, format!("{{hostname: api.example, {system}}}"), false),
        (&named, format!("{{hostname: x.example, {ca}, subjectAltNames: [{other}, {one}]}}"), true),
        (&named, format!("{{hostname: api.example, {ca}, subjectAltNames: [{other}]}}"), false),
        (&uri, format!("{{hostname: api.example, {ca}, subjectAltNames: [{other}, {}]}}", id("b")), true),
        (&uri, format!("{{hostname: api.example, {ca}, subjectAltNames: [{one}, {}]}}", id("c")), false),
        (&uri, format!("{{hostname: api.example, {ca}}}"), false),
        (&usual, format!("{{hostname: localhost, {system}}}"), true),
        (&usual, format!("{{hostname: localhost, {ca}}}"), false),
    ] {
        let rig = world.rig(&Asked::new(identity, false), |port| {
            // What is said of one port goes before what is said of all.
            let other = format!("{{hostname: nobody.example, {ca}}}");
            let policies = [("", other.as_str()), (", sectionName: api", &validation)];
            routed(&[("s", &format!("name: s, port: {port}"))]) + &service("s", port, &policies)
        });
        let answer = rig.ask("/s/echo", "{}");
        assert_eq!(answer.status, if served { 200 } else { 503 }, "{validation}: {}", answer.text());
        assert!(served || answer.text().contains(UNVERIFIED), "{validation}: {}", answer.text());
        let asked = validation.split([' ', ',']).nth(1).expect("a hostname");
        assert_eq!(rig.seen()[0].name.as_deref(), Some(asked), "{validation}");
    }
}

#[test]
fn a_policy_says_it_of_backends_that_do_not_say_it_themselves() {
    let world = World::new();
    let named = world.servers.identity("api.example", 2020, 2100);
    let policy = |target: &str, tls: &str| {
        format!(
            "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: p-{target}, namespace: llm}}\nspec:\n  \
             targetRefs: [{{group: agentgateway.dev, kind: AgentgatewayBackend, name: {target}}}]\n  backend: {{tls: {tls}}}\n"
        )
    };
    let rig = world.rig(&Asked::new(&named, false), |port| {
        let model = |name: &str, policies: &str| {
            format!(
                "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayBackend\nmetadata: {{name: {name}, namespace: llm}}\nspec:\n  \
                 ai: {{provider: {{openai: {{}}, host: localhost, port: {port}}}}}\n{policies}"
            )
        };
        let plain = backend("plain", port, "{}").replace("  policies: {tls: {}}\n", "");
        let says = format!("  policies: {{auth: {{key: sk-live-secret}}, tls: {{{CA}, sni: x.example}}}}\n");
        let tls = format!("{{{CA}, sni: api.example}}");
        let names = ["model", "plain", "itself"];
        let references = names.map(to_backend);
        let routes: Vec<(&str, &str)> =
            names.iter().copied().zip(references.iter().map(String::as_str)).collect();
        routed(&routes)
            + &model("model", "  policies: {auth: {key: sk-live-secret}}\n")
            + &plain
            + &model("itself", &says)
            + &names.map(|name| policy(name, &tls)).concat()
    });
    assert_eq!(rig.ask("/model", &chat("gpt-5", false)).status, 200);
    assert_eq!(rig.ask("/plain/echo", "{}").status, 200);
    let refused = rig.ask("/itself", &chat("gpt-5", false));
    assert!(refused.status == 503 && refused.text().contains(UNVERIFIED), "{}", refused.text());
    let asked: Vec<Option<String>> = rig.seen().into_iter().map(|seen| seen.name).collect();
    let names = ["api.example", "x.example"].map(|name| Some(name.to_owned()));
    assert_eq!(asked, names, "the first two share a connection, for they are spoken to in one way");
}

/// Two Gateways, of which the one on port 8081 shows the Secret `client` to backends, with the same routes.
fn gateways(routes: &[(&str, &str)]) -> String {
    // What goes to `own` by `/copied` goes to `bare` as well.
    let copied = routed(&[("copied", &to_backend("own"))]);
    let (_, copied) = copied.split_once("---\n").expect("a route");
    let mirror =
        format!("{{type: RequestMirror, requestMirror: {{backendRef: {{{}}}}}}}", to_backend("bare"));
    let copied = copied.replace("filters: [", &format!("filters: [{mirror}, "));
    let edge = format!("{}---\n{copied}", routed(routes))
        .replace("parentRefs: [{name: edge}]", "parentRefs: [{name: edge}, {name: marked}]");
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: marked, namespace: llm}}\nspec:\n  \
         gatewayClassName: agentgateway\n  tls: {{backend: {{clientCertificateRef: {{name: client}}}}}}\n  \
         listeners: [{{name: http, protocol: HTTP, port: 8081}}]\n---\n{edge}"
    )
}

#[test]
fn a_gateway_shows_its_certificate_to_backends_that_are_shown_none_of_their_own() {
    let world = World::new();
    let local = world.servers.identity("localhost", 2020, 2100);
    let (bare, own) = (to_backend("bare"), to_backend("own"));
    for version in VERSIONS {
        let front = Asked { versions: &[version], ..Asked::new(&local, true) };
        let mut service_port = String::new();
        let rig = world.rig(&front, |port| {
            service_port = format!("name: s, port: {port}");
            let validation =
                "{hostname: localhost, caCertificateRefs: [{group: \"\", kind: ConfigMap, name: servers}]}";
            gateways(&[
                ("bare", &bare),
                ("own", &own),
                ("s", &service_port),
                ("several", &to_backend("several")),
            ]) + &backend("bare", port, &format!("{{{CA}}}"))
                + &backend("own", port, &format!("{{{CA}, mtlsCertificateRef: [{{name: other}}]}}"))
                + &service("s", port, &[("", validation)])
                + &several(port)
        });
        let shown = |rig: &Rig| {
            let seen = rig.seen();
            seen.into_iter().filter_map(|seen| seen.certificate).collect::<Vec<Vec<u8>>>()
        };
        // Without it nobody gets in, but who has one of their own; in TLS 1.3 that is noticed late.
        for path in ["/bare/echo", "/s/echo"] {
            let answer = rig.ask(path, "{}");
            assert!(matches!(answer.status, 502 | 503), "{path}: {}", answer.text());
        }
        assert_eq!(rig.ask("/own/echo", "{}").status, 200);
        assert_eq!(shown(&rig), [world.other.der()]);
        // One connection for all that are shown the same, and the one from before for who has another one.
        for path in ["/bare/echo", "/own/echo", "/s/echo", "/bare/echo"] {
            let answer = rig.ask_beside(path, "{}");
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
        assert_eq!(shown(&rig), [world.other.der(), world.client.der()]);
        let before = rig.simulator.ledger().requests;
        assert_eq!(rig.ask_beside("/copied/echo", "{}").status, 200);
        until("the copy is there too", || rig.simulator.ledger().requests == before + 2);
        let answer = rig.ask_beside("/several", &chat("gpt-5", false));
        assert_eq!(answer.status, 200, "the second provider: {}", answer.text());
        let answer = rig.ask("/several", &chat("gpt-5", false));
        assert!(matches!(answer.status, 502 | 503), "{}", answer.text());
        assert_eq!(shown(&rig), [world.other.der(), world.client.der()]);
    }
}

/// A model of two providers, of which the first is away and has a certificate of its own.
fn several(port: u16) -> String {
    let one = |name: &str, port: u16, more: &str| {
        format!(
            "{{name: {name}, openai: {{}}, host: localhost, port: {port}, policies: {{auth: {{key: sk-live-secret}}, \
             tls: {{{CA}{more}}}}}}}"
        )
    };
    let away = one("away", 1, ", mtlsCertificateRef: [{name: other}]");
    format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayBackend\nmetadata: {{name: several, namespace: llm}}\nspec:\n  \
         ai: {{groups: [{{providers: [{away}]}}, {{providers: [{}]}}]}}\n",
        one("here", port, "")
    )
}

#[test]
fn connections_and_sessions_of_one_identity_never_serve_another() {
    let world = World::new();
    let local = world.servers.identity("localhost", 2020, 2100);
    let shows = |name: &str| format!("{{{CA}, mtlsCertificateRef: [{{name: {name}}}]}}");
    let lax = "{insecureSkipVerify: All, mtlsCertificateRef: [{name: client}]}";
    let names = ["one", "two", "again", "lax"];
    let references = names.map(to_backend);
    let routes: Vec<(&str, &str)> =
        names.iter().copied().zip(references.iter().map(String::as_str)).collect();
    let manifests = |port: u16| {
        routed(&routes)
            + &backend("one", port, &shows("client"))
            + &backend("two", port, &shows("other"))
            + &backend("again", port, &shows("client"))
            + &backend("lax", port, lax)
    };
    // Connections stay open: there is one for each identity.
    let rig = world.rig(&Asked::new(&local, true), manifests);
    for _ in 0..4 {
        for name in names {
            assert_eq!(rig.ask(&format!("/{name}/echo"), "{}").status, 200, "{name}");
        }
    }
    let shown: Vec<Option<Vec<u8>>> = rig.seen().into_iter().map(|seen| seen.certificate).collect();
    let (client, other) = (Some(world.client.der()), Some(world.other.der()));
    assert_eq!(shown, [client.clone(), other.clone(), client.clone()], "one and again are the same");
    // None stays open: each identity resumes a session of its own.
    let script = Script { fault: Fault::CloseAfterResponse, ..Script::default() };
    for version in VERSIONS {
        let front = Asked { versions: &[version], script: script.clone(), ..Asked::new(&local, true) };
        let rig = world.rig(&front, manifests);
        for round in 0..3 {
            for (at, expected) in [(0, &client), (1, &other), (3, &client)] {
                let before = rig.seen().len();
                assert_eq!(rig.ask(&format!("/{}/echo", names[at]), "{}").status, 200);
                let seen = rig.seen().split_off(before);
                assert_eq!(seen.len(), 1, "a connection of its own");
                assert_eq!(&seen[0].certificate, expected, "{} in {round}", names[at]);
                assert_eq!(seen[0].resumed, round > 0, "{} in {round}, {version:?}", names[at]);
            }
        }
    }
}

#[test]
fn another_authority_after_a_reload_is_for_every_connection() {
    let world = World::new();
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let local = world.servers.identity("localhost", 2020, 2100);
    let front = Front::start(&local, simulator.addr(), Manner::Polite);
    let port = front.address.port();
    let text = |ca: &str| {
        let tls = format!("{{caCertificateRefs: [{{name: {ca}}}]}}");
        routed(&[("b", &to_backend("b"))]) + &backend("b", port, &tls) + &world.resources()
    };
    let folder = directory("tls-own-reload");
    let roots = folder.join("roots.pem");
    std::fs::write(&roots, world.usual.pem()).expect("a file");
    let spec = format!(
        "  admin: {{address: none}}\n  workers: {{cores: 1, pin: false}}\n  tls: {{roots: [{}]}}\n  \
         listenerOverrides: [{{port: 8080, address: \"127.0.0.1:0\"}}]",
        roots.display()
    );
    std::fs::write(folder.join("1.yaml"), text("servers")).expect("a file");
    std::fs::write(folder.join("2.yaml"), settings(&spec)).expect("a file");
    let (mut process, address) = Process::serve(&mut tollgate(&["run", folder.to_str().expect("a path")]));
    let ask = || Client::connect(address).ask("/b/echo", "", "{}");
    assert_eq!((ask().status, ask().status), (200, 200));
    assert_eq!(front.seen().len(), 1);
    for (number, (ca, served)) in [("usual", false), ("servers", true)].into_iter().enumerate() {
        std::fs::write(folder.join("1.yaml"), text(ca)).expect("a file");
        process.signal("HUP");
        process.says(&format!("configuration {} is in force", number + 2));
        until("the worker serves it", || (ask().status == 200) == served);
        let answer = ask();
        assert!(served || answer.text().contains(UNVERIFIED), "{}", answer.text());
    }
    process.signal("TERM");
    process.end();
    assert!(front.seen().iter().all(|seen| seen.first_byte == Some(HANDSHAKE)));
}
