//! How connections end, and those that never become one.

use super::*;

#[test]
fn a_connection_ends_with_a_goodbye_unless_its_answer_was_cut() {
    let spec = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s, idle: 1s}";
    let (mut rig, authority) = rig(Script::default(), spec);
    let config = trusting(&authority);
    let asked = |headers: &str| {
        let mut client = connect(&rig, &config);
        assert_eq!(client.ask("/openai", headers, &chat("gpt-5", false)).status, 200);
        client
    };
    assert!(asked("Connection: close\r\n").ends_with_goodbye());
    assert!(asked("").ends_with_goodbye(), "idle for too long");
    let mut silent = connect(&rig, &config);
    assert!(silent.ends_with_goodbye(), "never a request");
    let mut malformed = connect(&rig, &config);
    malformed.write("nonsense\r\n\r\n");
    assert_eq!(malformed.answer().status, 400);
    assert!(malformed.ends_with_goodbye());

    // To an HTTP/1.0 client the end of the connection is the end of the answer.
    let old = |rig: &Rig, path: &str| {
        let (mut client, body) = (connect(rig, &config), chat("gpt-5", true));
        client.write(format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(client.answer().status, 200);
        client.ends_with_goodbye()
    };
    rig.simulator.set_script(Script { framing: Framing::CloseDelimited, ..Script::default() });
    assert!(old(&rig, "/openai") && old(&rig, "/plain/plain"));
    rig.simulator.set_script(Script {
        chunks: 50,
        fault: Fault::CutAfterChunks(3, Ending::Fin),
        ..Script::default()
    });
    assert!(!old(&rig, "/openai"), "half an answer must not look whole");

    rig.simulator.set_script(Script::default());
    let mut idle = asked("");
    rig.gateway().stop();
    assert!(idle.ends_with_goodbye(), "the worker drains");
    rig.gateway.take().expect("it runs").join().expect("an orderly end");
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let script = Script { chunks: 2_000, chunk_gap: Duration::from_millis(10), ..Script::default() };
    let (rig, authority) = rig(script, QUIET);
    let mut client = connect(&rig, &trusting(&authority));
    client.post("/openai", "", &chat("gpt-5", true));
    client.fill_to(1);
    client.stream.shutdown(Shutdown::Write).expect("half closed");
    until("the provider sees that nobody wants it", || rig.simulator.ledger().client_gone == 1);
    assert_eq!(rig.ended(Outcome::ClientGone), 1);
}

#[test]
fn http_in_the_clear_is_told_so() {
    let (rig, _) = rig(Script::default(), QUIET);
    for request in [
        "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n".to_owned(),
        format!("POST /openai HTTP/1.1\r\nContent-Length: 900000\r\n\r\n{}", "x".repeat(900_000)),
        "G".to_owned(),
    ] {
        let mut client = Client::connect(rig.address);
        client.write(&request);
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
        assert!(answer.text().contains("https://"), "{}", answer.text());
        client.stream.shutdown(Shutdown::Write).expect("half closed");
        assert!(client.is_over());
    }
    until("each has failed", || handshakes(&rig) == [0, 0, 3, 0]);
    assert_eq!(rig.simulator.ledger().requests, 0);
}

#[test]
fn what_is_no_handshake_ends_soon() {
    let (rig, authority) = rig(Script::default(), &QUIET.replace("drain: 1s", "drain: 1s, handshake: 300ms"));
    let hello = hello(&trusting(&authority));
    let cases: [(&str, Vec<u8>); 8] = [
        ("nothing", Vec::new()),
        ("garbage", vec![0xff; 300]),
        ("zeros", vec![0; 300]),
        ("a record that is too long", [22, 3, 1, 0xff, 0xff].into_iter().chain([7; 900]).collect()),
        ("a record that never comes", vec![22, 3, 1, 0x20, 0]),
        ("half a hello", hello[..hello.len() / 2].to_vec()),
        ("a hello and no more", hello.clone()),
        ("a hello and garbage", [hello.as_slice(), &[0xff; 300]].concat()),
    ];
    let began = Instant::now();
    let open: Vec<(&str, TcpStream)> = cases
        .into_iter()
        .map(|(case, bytes)| {
            let mut socket = TcpStream::connect(rig.address).expect("it listens");
            socket.write_all(&bytes).expect("it reads");
            (case, socket)
        })
        .collect();
    for (case, socket) in &open {
        read_all(socket);
        assert!(began.elapsed() < Duration::from_secs(5), "{case}");
    }
    until("all have failed", || handshakes(&rig) == [0, 0, 8, 0]);
    assert_eq!(count(&rig, |c| c.handshakes_open.get()), 0);
    // One that leaves in the middle.
    drop(TcpStream::connect(rig.address).expect("it listens"));
    until("that is seen too", || handshakes(&rig) == [0, 0, 9, 0]);
    assert_eq!(connect(&rig, &trusting(&authority)).ask("/openai", "", &chat("gpt-5", false)).status, 200);
}

/// The first bytes of a client.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = "gateway.test".try_into().expect("a name");
    let mut tls = rustls::ClientConnection::new(config.clone(), name).expect("a session");
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes).expect("memory");
    }
    bytes
}

#[test]
fn a_session_that_breaks_ends() {
    let (rig, authority) = rig(Script::default(), QUIET);
    for version in VERSIONS {
        let mut client = connect(&rig, &secure::config(&authority.pem(), &[version]));
        assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200);
        client
            .stream
            .write_all(&[23, 3, 3, 0, 40].into_iter().chain([9; 40]).collect::<Vec<u8>>())
            .expect("it reads");
        assert!(!client.fill(), "nobody is answered who was not understood");
    }
}

#[test]
fn handshakes_under_way_are_bounded() {
    let spec = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  connections: {handshakesPerWorker: 2}\n  \
                timeouts: {drain: 1s, handshake: 10s}";
    let (rig, authority) = rig(Script::default(), spec);
    let config = trusting(&authority);
    let mut served = connect(&rig, &config);
    assert_eq!(served.ask("/openai", "", &chat("gpt-5", false)).status, 200);
    let slow: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(rig.address).expect("it listens")).collect();
    until("both are under way", || count(&rig, |c| c.handshakes_open.get()) == 2);
    for _ in 0..3 {
        let began = Instant::now();
        assert!(read_all(&TcpStream::connect(rig.address).expect("it listens")).is_empty());
        assert!(began.elapsed() < Duration::from_secs(5), "at once");
    }
    assert_eq!(handshakes(&rig), [1, 0, 0, 3]);
    assert_eq!(served.ask("/openai", "", &chat("gpt-5", false)).status, 200, "who is in is served");
    drop(slow);
    until("they have gone", || count(&rig, |c| c.handshakes_open.get()) == 0);
    assert_eq!(connect(&rig, &config).ask("/openai", "", &chat("gpt-5", false)).status, 200);
}
