//! Sessions that are resumed, and certificates that are renewed.

use super::*;

#[test]
fn sessions_are_resumed_on_every_worker() {
    let (rig, authority) = rig(Script::default(), QUIET);
    for version in VERSIONS {
        let config = secure::config(&authority.pem(), &[version]);
        for round in 0..24 {
            let mut client = connect(&rig, &config);
            assert_eq!(client.is_resumed(), round > 0, "{round}");
            assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200);
        }
    }
    assert_eq!(handshakes(&rig), [2, 46, 0, 0]);
    let by_worker: Vec<u64> =
        rig.gateway().board.desks.iter().map(|desk| desk.counters.handshakes_resumed.get()).collect();
    assert!(by_worker.iter().all(|resumed| *resumed > 0), "{by_worker:?}");
    let strangers = secure::config(&authority.pem(), &VERSIONS);
    assert!(!connect(&rig, &strangers).is_resumed());
}

#[test]
fn another_certificate_after_a_reload_is_for_new_connections() {
    let authority = Authority::new();
    let (old, new) =
        (authority.identity("gateway.test", 2020, 2100), authority.identity("gateway.test", 2020, 2099));
    let listeners = [listener("https", "", "{name: crt}")];
    let text = |identity: &Identity| behind(&listeners, &secret("crt", identity));
    let (_simulator, folder, mut process, address) = served("tls-reload", &text(&old));
    let config = trusting(&authority);
    let open = || Client::secure(address, "gateway.test", &config).expect("a handshake");

    let mut before = open();
    assert_eq!(before.ask("/openai", "", &chat("gpt-5", false)).status, 200);
    // Each answer brings new tickets; a client uses each once.
    let goes_on = || {
        let mut client = open();
        client.ask("/openai", "", &chat("gpt-5", false)).status == 200 && client.is_resumed()
    };
    assert!(goes_on());
    // A reload that changes nothing about certificates keeps sessions.
    process.signal("HUP");
    process.says("configuration 2 is in force");
    until("both workers serve it", || (0..8).all(|_| goes_on()));
    std::fs::write(folder.join("1.yaml"), text(&new)).expect("a file");
    process.signal("HUP");
    process.says("configuration 3 is in force");
    // The first connections may still meet a worker that has not heard of it.
    until("new connections see the new one", || {
        (0..8).all(|_| {
            let mut client = open();
            let served = client.ask("/openai", "", &chat("gpt-5", false)).status == 200;
            served && client.certificate() == Some(new.der())
        })
    });
    assert_eq!(before.ask("/openai", "", &chat("gpt-5", true)).status, 200, "open ones go on");
    assert_eq!(before.certificate(), Some(old.der()));
    // One that cannot be is told, and changes nothing.
    let broken = text(&new).replace(&base64(&new.key_pem()), &base64(&old.key_pem()));
    std::fs::write(folder.join("1.yaml"), broken).expect("a file");
    process.signal("HUP");
    process.says("is not the key of the first certificate");
    assert_eq!(open().certificate(), Some(new.der()));

    process.signal("TERM");
    drop(before);
    let ended = process.end();
    let said = ended.stdout + &ended.stderr;
    for key in [old.key_pem(), new.key_pem()] {
        let line = key.lines().nth(1).expect("a line of the key");
        let encoded = base64(&key);
        assert!(!said.contains(&line[20..40]) && !said.contains(&encoded[80..120]), "{said}");
    }
}
