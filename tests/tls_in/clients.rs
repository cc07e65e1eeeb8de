//! Certificates of clients: who is asked for one, who is let in, and what a reload changes.

use super::*;
use rustls::crypto::ring::kx_group;
use std::cell::RefCell;

/// A ConfigMap with the certificate of an authority.
fn config_map(name: &str, namespace: &str, pem: &str) -> String {
    let pem = pem.replace('\n', "\\n");
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{ca.crt: \"{pem}\"}}\n"
    )
}

/// The usual Gateway with this `tls`, and these listeners.
fn asking(tls: &str, listeners: &[String], more: &str) -> String {
    let text = behind(listeners, more);
    let plain = "gatewayClassName: agentgateway\n";
    assert!(text.contains(plain));
    text.replace(plain, &format!("{plain}  tls: {tls}\n"))
}

fn refs(name: &str) -> String {
    format!("caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: {name}}}]")
}

/// `tls` of a Gateway that asks everybody in this mode.
fn everybody(mode: &str) -> String {
    format!("{{frontend: {{default: {{validation: {{{}, mode: {mode}}}}}}}}}", refs("ca"))
}

/// A client that trusts `server` and shows this certificate.
fn showing(
    server: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    shown: Option<&Identity>,
) -> Arc<ClientConfig> {
    let pems = shown.map(|identity| (identity.pem(), identity.key_pem()));
    secure::config_as(&server.pem(), versions, pems.as_ref().map(|(pem, key)| (pem.as_str(), key.as_str())))
}

/// The status of the answer to a request, or why there is none. In TLS 1.3 the client's handshake is over before the server
/// has looked at its certificate.
fn outcome(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Result<u16, String> {
    let mut client = Client::secure(address, name, config).map_err(|error| error.to_string())?;
    let body = chat("gpt-5", false);
    let request =
        format!("POST /openai HTTP/1.1\r\nHost: {name}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let tls = client.tls.as_mut().expect("it speaks TLS");
    tls.write(&mut client.stream, request.as_bytes()).map_err(|error| error.to_string())?;
    let (mut read, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match tls.read(&mut client.stream, &mut piece) {
            Ok(0) => return Err("it ended".to_owned()),
            Ok(n) => read.extend_from_slice(&piece[..n]),
            Err(error) => return Err(error.to_string()),
        }
        if let Some(status) = read.get(9..12).and_then(|status| std::str::from_utf8(status).ok()) {
            return Ok(status.parse().expect("a status"));
        }
    }
}

#[test]
fn who_is_let_in_depends_on_the_certificate_and_on_the_mode() {
    let (server, clients) = (Authority::new(), Authority::new());
    let shown = [
        ("none", None),
        ("another authority's", Some(Authority::new().identity("client", 2020, 2100))),
        ("the server's authority's", Some(server.identity("client", 2020, 2100))),
        ("expired", Some(clients.identity("client", 2020, 2021))),
        ("not valid yet", Some(clients.identity("client", 2098, 2100))),
        ("right", Some(clients.identity("client", 2020, 2100))),
    ];
    let more = secret("crt", &server.identity("gateway.test", 2020, 2100))
        + &config_map("ca", "llm", &clients.pem());
    for (mode, only_right) in [("AllowValidOnly", true), ("AllowInsecureFallback", false)] {
        let listeners = [listener("https", "", "{name: crt}")];
        let text = asking(&everybody(mode), &listeners, &more);
        let rig = Rig::start_with(Script::default(), &text, &settings(QUIET));
        for version in VERSIONS {
            for (case, identity) in &shown {
                let config = showing(&server, &[version], identity.as_ref());
                let said = outcome(rig.address, "gateway.test", &config);
                let expected = !only_right || *case == "right";
                assert_eq!(said == Ok(200), expected, "{mode} {version:?} {case}: {said:?}");
                if let Err(why) = said {
                    assert!(why.contains("received fatal alert"), "{case}: {why}");
                }
            }
        }
        let failed = if only_right { 10 } else { 0 };
        until("all are counted", || handshakes(&rig) == [12 - failed, 0, failed, 0]);
        let requests = rig.simulator.ledger().requests;
        assert_eq!(requests, 12 - failed, "{mode}: a provider heard of nobody else");
    }
}

#[test]
fn a_port_and_a_listener_may_ask_for_something_of_their_own() {
    let (server, one, other) = (Authority::new(), Authority::new(), Authority::new());
    let identity = |name: &str| server.identity(name, 2020, 2100);
    let names = ["a.test", "b.test", "c.test"];
    let secrets: String = names.iter().map(|name| secret(&name[..1], &identity(name))).collect();
    // The ConfigMap of the other authority is in a namespace that lets this one refer to it.
    let grant = "---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: pki}\n\
                 spec:\n  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: llm}]\n  \
                 to: [{group: \"\", kind: ConfigMap}]\n";
    let more =
        secrets + &config_map("ca", "llm", &one.pem()) + &config_map("ca", "pki", &other.pem()) + grant;
    let own = "frontendValidation: {caCertificateRefs: [{group: \"\", kind: ConfigMap, name: ca, namespace: pki}]}, ";
    let listeners = names.map(|name| {
        let usual =
            listener(&name[..1], &format!("hostname: {name}, "), &format!("{{name: {}}}", &name[..1]));
        match name {
            "b.test" => usual.replace("tls: {", &format!("tls: {{{own}")),
            _ => usual,
        }
    });
    let (ones, others) = (one.identity("x", 2020, 2100), other.identity("x", 2020, 2100));
    let per_port = |tls: &str| {
        format!(
            "{{frontend: {{default: {{validation: {{{}}}}}, perPort: [{{port: 8080, tls: {tls}}}]}}}}",
            refs("ca")
        )
    };
    for (tls, expected) in [
        // By name: with nothing, with a certificate of the one, with one of the other.
        (everybody("AllowValidOnly"), [[false, true, false], [false, false, true], [false, true, false]]),
        (per_port("{}"), [[true, true, true], [false, false, true], [true, true, true]]),
    ] {
        let rig = Rig::start_with(Script::default(), &asking(&tls, &listeners, &more), &settings(QUIET));
        for (name, row) in names.iter().zip(expected) {
            for (shown, expected) in [None, Some(&ones), Some(&others)].into_iter().zip(row) {
                let said = outcome(rig.address, name, &showing(&server, &VERSIONS, shown));
                assert_eq!(said == Ok(200), expected, "{tls} {name}: {said:?}");
            }
        }
    }
}

#[test]
fn who_has_shown_a_certificate_resumes_without() {
    let (server, clients) = (Authority::new(), Authority::new());
    let more = secret("crt", &server.identity("gateway.test", 2020, 2100))
        + &config_map("ca", "llm", &clients.pem());
    let text = asking(&everybody("AllowValidOnly"), &[listener("https", "", "{name: crt}")], &more);
    let rig = Rig::start_with(Script::default(), &text, &settings(QUIET));
    let identity = clients.identity("client", 2020, 2100);
    for version in VERSIONS {
        let config = showing(&server, &[version], Some(&identity));
        for round in 0..4 {
            let mut client = connect(&rig, &config);
            assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200);
            assert_eq!(client.is_resumed(), round > 0, "{version:?} {round}");
        }
    }
    assert_eq!(handshakes(&rig), [2, 6, 0, 0]);
}

#[test]
fn what_a_reload_demands_holds_for_tickets_and_for_open_connections() {
    let (server, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let crt = secret("crt", &server.identity("gateway.test", 2020, 2100));
    let listeners = [listener("https", "", "{name: crt}")];
    let lax = behind(&listeners, &crt);
    let strict = |authority: &Authority| {
        asking(
            &everybody("AllowValidOnly"),
            &listeners,
            &(crt.clone() + &config_map("ca", "llm", &authority.pem())),
        )
    };
    let (_simulator, folder, mut process, address) = served("tls-clients", &lax);
    let reload = |process: &mut Process, text: &str, expected: &str| {
        std::fs::write(folder.join("1.yaml"), text).expect("a file");
        process.signal("HUP");
        process.says(expected);
    };
    let identities = [old.identity("x", 2020, 2100), new.identity("x", 2020, 2100)];
    let [nobody, olds, news] =
        [None, Some(&identities[0]), Some(&identities[1])].map(|shown| showing(&server, &VERSIONS, shown));
    let open = |config| Client::secure(address, "gateway.test", config).expect("a handshake");
    let ask = |client: &mut Client| client.ask("/openai", "", &chat("gpt-5", false)).status;
    let is_in = |config| outcome(address, "gateway.test", config) == Ok(200);
    // Without a demand everybody gets tickets.
    let mut early = open(&nobody);
    assert_eq!(ask(&mut early), 200);
    for config in [&nobody, &olds, &news] {
        assert!((0..4).all(|_| is_in(config)));
    }

    reload(&mut process, &strict(&old), "configuration 2 is in force");
    until("both workers ask", || (0..16).all(|_| !is_in(&nobody)));
    assert!(!is_in(&nobody), "though it has tickets");
    assert!(is_in(&olds) && !is_in(&news));
    let mut certified = open(&olds);
    assert_eq!(ask(&mut certified), 200);
    // Its worker may not have heard of it.
    let is_refused = |client: &RefCell<Client>| {
        let answer = client.borrow_mut().ask("/openai", "", &chat("gpt-5", false));
        assert!(
            answer.status == 200 || answer.text().contains("open another connection"),
            "{}",
            answer.text()
        );
        answer.status == 421
    };
    let early = RefCell::new(early);
    until("who was in is refused", || is_refused(&early));
    assert!(early.into_inner().is_over());

    // One that changes nothing leaves who is in.
    reload(&mut process, &(strict(&old) + "\n"), "configuration 3 is in force");
    assert_eq!(ask(&mut certified), 200);
    reload(&mut process, &strict(&new), "configuration 4 is in force");
    until("both workers ask for the new authority's", || (0..16).all(|_| !is_in(&olds)));
    assert!(is_in(&news));
    let certified = RefCell::new(certified);
    until("who was in is refused", || is_refused(&certified));
    // One that cannot be is told, and changes nothing.
    let broken = strict(&new).replace("BEGIN CERTIFICATE-----\\n", "BEGIN CERTIFICATE-----\\n!");
    reload(&mut process, &broken, "\"ca.crt\" is broken PEM");
    assert!(is_in(&news) && !is_in(&olds) && !is_in(&nobody));
    reload(&mut process, &lax, "configuration 5 is in force");
    until("nobody asks any more", || (0..16).all(|_| is_in(&nobody)));
    process.signal("TERM");
    process.end();
}

#[test]
fn a_client_that_speaks_only_http_2_is_told_in_the_handshake() {
    let (rig, authority) = rig(Script::default(), QUIET);
    for version in VERSIONS {
        for (offered, expected) in
            [(&[&b"h2"[..]][..], false), (&[b"http/1.0"], false), (&[b"h2", b"http/1.1"], true), (&[], true)]
        {
            let mut config = ClientConfig::clone(&secure::config(&authority.pem(), &[version]));
            config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
            match Client::secure(rig.address, "gateway.test", &Arc::new(config)) {
                Ok(mut client) => {
                    assert!(expected, "{offered:?}");
                    assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200);
                }
                Err(error) => {
                    assert!(!expected, "{offered:?}: {error}");
                    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
                }
            }
        }
    }
    until("all are counted", || handshakes(&rig) == [4, 0, 4, 0]);
}

/// A policy that says this of the TLS of the Gateway's listeners, or of one of them.
fn speaking(name: &str, section: &str, tls: &str) -> String {
    format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: {name}, namespace: llm}}\nspec:\n  \
         targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge{section}}}]\n  \
         frontend: {{tls: {{{tls}}}}}\n"
    )
}

#[test]
fn keys_are_agreed_on_in_the_groups_that_are_named() {
    let authority = Authority::new();
    let certificate = secret("crt", &authority.identity("gateway.test", 2020, 2100));
    let of_gateway = |groups: &str| speaking("wide", "", &format!("keyExchangeGroups: [{groups}]"));
    let of_listener =
        |groups: &str| speaking("close", ", sectionName: https", &format!("keyExchangeGroups: [{groups}]"));
    let offered = [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    for (options, policies, expected) in [
        ("", String::new(), [true, true, true]),
        ("kgateway.dev/ecdh-curves: P-384", String::new(), [false, false, true]),
        ("", of_gateway("P-384, X25519"), [true, false, true]),
        // What a policy says goes before the listener's options, and the policy of a listener before its Gateway's.
        ("kgateway.dev/ecdh-curves: P-384", of_gateway("P-256"), [false, true, false]),
        ("", of_gateway("P-256") + &of_listener("X25519"), [true, false, false]),
    ] {
        let listeners = [listener("https", "", "{name: crt}")
            .replace("tls: {", &format!("tls: {{options: {{{options}}}, "))];
        let more = certificate.clone() + &policies;
        let rig = Rig::start_with(Script::default(), &behind(&listeners, &more), &settings(QUIET));
        for version in VERSIONS {
            for (group, expected) in offered.into_iter().zip(expected) {
                let config = secure::config_in(&authority.pem(), &[version], &[group]);
                let said = outcome(rig.address, "gateway.test", &config);
                let name = group.name();
                assert_eq!(said == Ok(200), expected, "{options} {policies} {version:?} {name:?}: {said:?}");
            }
        }
    }
}

#[test]
fn a_policy_says_which_versions_and_suites_listeners_speak() {
    let authority = Authority::new();
    let certificate = secret("crt", &authority.identity("gateway.test", 2020, 2100));
    for (options, tls, expected) in [
        ("", "minProtocolVersion: \"1.3\"", [false, true]),
        ("", "maxProtocolVersion: \"1.2\"", [true, false]),
        ("kgateway.dev/min-tls-version: \"1.3\"", "minProtocolVersion: \"1.2\"", [true, true]),
        ("kgateway.dev/min-tls-version: \"1.3\"", "alpnProtocols: [http/1.1]", [false, true]),
        ("", "cipherSuites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]", [false, true]),
        ("", "cipherSuites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]", [true, true]),
    ] {
        let listeners = [listener("https", "", "{name: crt}")
            .replace("tls: {", &format!("tls: {{options: {{{options}}}, "))];
        let more = certificate.clone() + &speaking("wide", "", tls);
        let rig = Rig::start_with(Script::default(), &behind(&listeners, &more), &settings(QUIET));
        for (version, expected) in VERSIONS.into_iter().zip(expected) {
            let config = secure::config(&authority.pem(), &[version]);
            let said = outcome(rig.address, "gateway.test", &config);
            assert_eq!(said == Ok(200), expected, "{options} {tls} {version:?}: {said:?}");
        }
    }
}

#[test]
fn a_listener_speaks_what_its_options_leave() {
    let authority = Authority::new();
    let certificate = secret("crt", &authority.identity("gateway.test", 2020, 2100));
    let (tls12, tls13) = (true, true);
    for (options, expected) in [
        ("", [tls12, tls13]),
        ("kgateway.dev/min-tls-version: \"1.3\"", [false, tls13]),
        ("kgateway.dev/max-tls-version: \"1.2\"", [tls12, false]),
        // For a key of another kind than the certificate's: TLS 1.3 goes on.
        ("kgateway.dev/cipher-suites: TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", [false, tls13]),
        ("kgateway.dev/cipher-suites: TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", [tls12, tls13]),
        ("kgateway.dev/ecdh-curves: P-384", [tls12, tls13]),
        ("kgateway.dev/alpn-protocols: http/1.1", [tls12, tls13]),
    ] {
        let listeners = [listener("https", "", "{name: crt}")
            .replace("tls: {", &format!("tls: {{options: {{{options}}}, "))];
        let rig = Rig::start_with(Script::default(), &behind(&listeners, &certificate), &settings(QUIET));
        for (version, expected) in VERSIONS.into_iter().zip(expected) {
            let config = secure::config(&authority.pem(), &[version]);
            let said = outcome(rig.address, "gateway.test", &config);
            assert_eq!(said == Ok(200), expected, "{options} {version:?}: {said:?}");
        }
    }
}
