//! Requests that their clients compressed.

use super::support::{Client, ROUTES, Rig, USER_TEXT, chat};
use super::{CODINGS, MODEL, assert_said, bomb, coded_line, post, script};
use tollgate::telemetry::Outcome;
use tollgate::wire::coding::SUPPORTED;
use tollgate_loadtest::coding::{Coding, encode};

#[test]
fn a_coded_request_goes_upstream_decoded() {
    for route in ROUTES {
        let rig = Rig::start(script(&[]), "");
        let mut client = rig.client();
        let mut sent = 0;
        for coding in CODINGS {
            for streamed in [false, true] {
                let what = format!("{} {coding:?} streamed: {streamed}", route.path);
                let body = route.body(MODEL, streamed);
                let coded = encode(coding, &[body.as_bytes()]).concat();
                let request = post(route.path, &coded_line(coding), &coded);
                // Whole, in crumbs, and with the next request behind it.
                let crumbs = |client: &mut Client| request.chunks(7).for_each(|crumb| client.write(crumb));
                client.write(&request);
                let answers = [client.answer(), {
                    crumbs(&mut client);
                    client.answer()
                }];
                client.write(request.repeat(2));
                for answer in answers.into_iter().chain([client.answer(), client.answer()]) {
                    assert_said(route, &answer, streamed, &script(&[]), &what);
                }
                sent += 4 * request.len() as u64;
                let seen = rig.simulator.requests().pop().expect("it came");
                assert_eq!(seen.header("content-encoding"), None, "{what}");
                assert_eq!(seen.header("content-length"), Some(&*seen.body.len().to_string()), "{what}");
                assert!(!route.is_native() || seen.body == body.as_bytes(), "{what}");
            }
        }
        rig.assert_ledgers_agree();
        assert_eq!(rig.totals().downstream_bytes_in, sent, "{}: as they came", route.path);
    }
}

#[test]
fn a_coded_request_may_be_chunked_or_wait_to_be_asked_for_and_what_it_holds_is_edited() {
    let rig = Rig::start(script(&[]), "");
    let mut client = rig.client();
    let body = chat(MODEL, true); // usage is asked for upstream
    let coded = encode(&[Coding::Brotli, Coding::Gzip], &[body.as_bytes()]).concat();
    let chunks: Vec<u8> = coded
        .chunks(5)
        .flat_map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat())
        .collect();
    let head =
        "POST /openai HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Encoding: identity, X-GZIP\r\n";
    client.write(
        [format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes(), &chunks, b"0\r\n\r\n"].concat(),
    );
    assert_said(ROUTES[2], &client.answer(), true, &script(&[]), "chunked");
    let seen = rig.simulator.requests().pop().expect("it came");
    assert!(String::from_utf8_lossy(&seen.body).contains(r#""include_usage":true"#));

    client.write(format!("{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", coded.len()));
    assert_eq!(client.any_answer().status, 100);
    client.write(&coded);
    assert_said(ROUTES[2], &client.answer(), true, &script(&[]), "100-continue");
    rig.assert_ledgers_agree();
}

#[test]
fn a_large_coded_request_is_read_part_by_part_and_other_requests_meanwhile() {
    let rig = Rig::start_set(script(&[]), "", "  requests: {bodyBytes: 40Mi}");
    for coding in [Coding::Gzip, Coding::Zstd, Coding::Brotli] {
        let body = ROUTES[2].body(MODEL, false).replace(USER_TEXT, &"word ".repeat(1 << 20));
        let coded = encode(&[coding], &[body.as_bytes()]).concat();
        let (mut client, mut other) = (rig.client(), rig.client());
        client.write(post("/openai", &coded_line(&[coding]), &coded));
        assert_eq!(other.ask("/openai", "", &chat(MODEL, false)).status, 200);
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{coding:?}: {}", answer.text());
        assert!(rig.simulator.requests().iter().any(|seen| seen.body == body.as_bytes()), "{coding:?}");
    }
    rig.assert_ledgers_agree();
}

#[test]
fn a_request_that_cannot_be_decoded_is_refused_in_the_words_of_its_client() {
    let rig = Rig::start_set(script(&[]), "", "  requests: {bodyBytes: 64Ki}");
    let damaged = |coded: &[u8]| {
        let mut bytes = coded.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 0xff;
        bytes
    };
    for route in ROUTES {
        let body = route.body(MODEL, false);
        let gzip = encode(&[Coding::Gzip], &[body.as_bytes()]).concat();
        let large = body.replace(USER_TEXT, &"x".repeat(64 << 10));
        let large = encode(&[Coding::Gzip], &[large.as_bytes()]).concat();
        let rows: [(&str, Vec<u8>, u16, bool, &str); 12] = [
            // Coding, body, status, whether the connection goes on, and what is said.
            ("compress", gzip.clone(), 415, false, "content-encoding"),
            ("gzip, x-flip", gzip.clone(), 415, false, "gzip, deflate, br, zstd"),
            ("gzip, gzip, gzip, gzip, gzip", gzip.clone(), 415, false, "content-encoding"),
            ("gzip", body.clone().into_bytes(), 400, true, "the body cannot be decoded"),
            ("br", gzip.clone(), 400, true, "corrupt"),
            ("gzip", damaged(&gzip), 400, true, "corrupt"),
            ("gzip", gzip[..gzip.len() - 1].to_vec(), 400, true, "ends too early"),
            ("gzip", [&gzip[..], b"{}"].concat(), 400, true, "goes on after its end"),
            ("zstd", b"\x28\xb5\x2f\xfd\x00\x70\x09\x00\x00!".to_vec(), 400, true, "window"),
            ("identity", gzip.clone(), 400, true, "not a valid request"),
            ("gzip", large, 413, false, "too large"),
            ("zstd", bomb(1_000), 413, false, "too large"),
        ];
        for (value, coded, status, goes_on, why) in rows {
            let what = format!("{} {value} {} bytes", route.path, coded.len());
            let mut client = rig.client();
            client.write(post(route.path, &format!("Content-Encoding: {value}\r\n"), &coded));
            let answer = client.answer();
            assert_eq!((answer.status, answer.complete), (status, true), "{what}: {}", answer.text());
            assert!(answer.text().contains(why), "{what}: {}", answer.text());
            let supported = (status == 415).then_some(SUPPORTED);
            assert_eq!(answer.header("accept-encoding"), supported, "{what}");
            assert!(route.read(&answer).error.is_some(), "{what}");
            match goes_on {
                true => {
                    assert_eq!(client.ask(route.path, "", &body).status, 200, "{what}: the connection lives")
                }
                false => assert!(client.is_over(), "{what}"),
            }
        }
    }
    let refused = rig.totals().outcomes[Outcome::BadRequest as usize];
    assert_eq!(refused, 12 * ROUTES.len() as u64);
    rig.assert_ledgers_agree();
}
