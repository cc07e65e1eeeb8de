//! Backpressure: what a client does not read stays with the provider; and what arrives takes no more room than it says. Alone in
//! its process, whose memory it measures.

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use support::{ROUTES, Rig, bucket, provider, read_request, read_to, until};

const MODEL: &str = "claude-3-5-haiku-latest";

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages.split(' ').nth(1).expect("a second number").parse::<u64>().expect("a number") * 4096
}

/// A provider that streams `bytes` bytes of text, `size` in an event, from memory that it has only once; and how
/// many it could send so far.
fn torrent(openai: bool, bytes: usize, size: usize) -> (SocketAddr, Arc<AtomicU64>) {
    let (start, end) = match openai {
        true => (
            String::new(),
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        ),
        false => (
            "data: {\"type\":\"message_start\",\"message\":{\"model\":\"m\"}}\n\n".to_owned(),
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n\
             data: {\"type\":\"message_stop\"}\n\n",
        ),
    };
    let text = "y".repeat(size);
    let event = match openai {
        true => format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"),
        false => format!(
            "data: {{\"type\":\"content_block_delta\",\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        ),
    };
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let address = provider(move |_, mut stream| {
        read_request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        stream.write_all((head.to_owned() + &start).as_bytes()).expect("it is read");
        for _ in 0..bytes / size {
            stream.write_all(event.as_bytes()).expect("it is read");
            count.fetch_add(size as u64, Ordering::SeqCst);
        }
        stream.write_all(end.as_bytes()).expect("it is read");
    });
    (address, sent)
}

/// Held by each test: they measure the memory of all.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_client_that_reads_late_gets_all_of_it_and_the_gateway_holds_little_of_it_meanwhile() {
    const EVENT: usize = 16 << 10;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (route, megabytes) in [(ROUTES[1], 64), (ROUTES[2], 24), (ROUTES[0], 24), (ROUTES[3], 24)] {
        let (address, sent) = torrent(route.openai_provider, megabytes << 20, EVENT);
        let rig = Rig::start_towards(address, &bucket(route.name, 1 << 30, 1, "1h", "tokens"), "");
        let mut client = rig.client();
        let before = resident();
        client.post(route.path, "", &route.body(MODEL, true));
        read_to(&mut client, "yyyy");
        // It comes to rest when every buffer on the way is full.
        let (last, same) = (AtomicU64::new(0), AtomicU64::new(0));
        until("the provider can send no more", || {
            let now = sent.load(Ordering::SeqCst);
            let rests = last.swap(now, Ordering::SeqCst) == now;
            let times = if rests { same.load(Ordering::SeqCst) + 1 } else { 0 };
            same.store(times, Ordering::SeqCst);
            times > 50
        });
        let last = last.into_inner();
        let grown = resident().saturating_sub(before);
        assert!(grown < 24 << 20, "{}: {} MB", route.path, grown >> 20);
        assert!(last < (megabytes as u64) << 20, "{}: the kernel's buffers took all of it", route.path);
        let answer = client.answer();
        let said = route.read(&answer);
        assert!(answer.complete && said.done && said.error.is_none(), "{}", route.path);
        assert_eq!(said.text.len(), megabytes << 20, "{}", route.path);
        assert!(said.text.bytes().all(|byte| byte == b'y'), "{}", route.path);
        assert_eq!(rig.settled().output, (megabytes as u64) << 18, "{}: four bytes a token", route.path);
    }
}

/// What frames a body is not kept with it: a chunk of one byte can come with twenty of framing.
#[test]
fn a_body_in_tiny_chunks_takes_the_room_of_its_payload() {
    const CHUNKS: usize = 2 << 20;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rig = Rig::start_towards("127.0.0.1:1".parse().expect("an address"), "", "");
    let mut client = rig.client();
    let begun = "POST /openai HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{\"messages\":[],\"x\":\"y\r\n";
    client.write(begun);
    until("it is read", || rig.count(|c| c.requests_in_flight.get()) == 1);
    let before = resident();
    let piece = b"0000000000000001\r\nx\r\n".repeat(1 << 10);
    (0..CHUNKS >> 10).for_each(|_| client.write(&piece));
    let grown = resident().saturating_sub(before);
    assert!(grown < 20 << 20, "{} MB for a body of {} MB", grown >> 20, CHUNKS >> 20);
    client.write("2\r\n\"]\r\n0\r\n\r\n");
    assert_eq!(client.answer().status, 400, "all of it was read");
}
