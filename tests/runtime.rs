//! The runtime against real sockets: what the proxy relies on, shown one promise at a time.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;
use tollgate::base::Span;
use tollgate::runtime::{Gather, Listener, Ring, RingConfig, Socket, bind, executor, mailbox, sleep};

const CONFIG: RingConfig = RingConfig {
    submission_entries: 256,
    completion_entries: 1024,
    receive_buffers: 32,
    receive_buffer_bytes: 4096,
    inbox_bytes: 16 << 10,
};

/// Runs `task` on a worker of its own and returns what it returns.
fn on_worker<T, F, M>(main: M) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
    M: FnOnce(Rc<Ring>) -> F + Send + 'static,
{
    on_worker_with(CONFIG, main)
}

fn on_worker_with<T, F, M>(config: RingConfig, main: M) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
    M: FnOnce(Rc<Ring>) -> F + Send + 'static,
{
    let (tell, told) = mpsc::channel();
    let worker = executor::start("test", None, config, move |ring| async move {
        let result = main(ring).await;
        tell.send(result).ok();
        executor::stop();
    })
    .expect("a worker starts");
    let result = told.recv_timeout(Duration::from_secs(30)).expect("the task ends");
    worker.join().expect("the worker ends cleanly");
    result
}

fn local_pair() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn far() -> tollgate::base::Tick {
    tollgate::runtime::clock::now() + Duration::from_secs(20)
}

/// Echoes until the client ends; then ends its own side.
async fn echo(socket: Socket) {
    let mut buf = Vec::new();
    loop {
        buf.clear();
        if !matches!(socket.fill(&mut buf).await, Ok(1..)) {
            return;
        }
        let mut gather = Gather::of(Vec::new(), std::mem::take(&mut buf));
        assert!(gather.push_theirs(Span::new(0, gather.theirs.len())));
        let (gather, sent) = socket.send(gather).await;
        if sent.is_err() {
            return;
        }
        buf = gather.theirs;
    }
}

/// Starts an echo server on a worker; the address and a way to end it.
fn echo_server() -> (SocketAddr, impl FnOnce()) {
    echo_server_with(CONFIG)
}

fn echo_server_with(config: RingConfig) -> (SocketAddr, impl FnOnce()) {
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let (mail, receiver) = mailbox::<()>(4).unwrap();
    let worker = executor::start("echo", None, config, move |ring| async move {
        receiver.attach(&ring);
        let listener = Listener::new(&ring, socket);
        executor::spawn(
            async move {
                while let Ok(socket) = listener.accept().await {
                    executor::spawn(echo(socket), |_| {});
                }
            },
            |_| {},
        );
        receiver.receive(&ring).await;
        executor::stop();
    })
    .unwrap();
    (address, move || {
        mail.send(()).unwrap();
        worker.join().unwrap();
    })
}

/// So many clients at once, each of which sends and reads twenty times.
fn clients_are_echoed(address: SocketAddr, count: u32) {
    let clients: Vec<_> = (0..count)
        .map(|n| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                for round in 0..20usize {
                    let sent: Vec<u8> = (0..round * 700 + 1).map(|i| (i as u32 + n) as u8).collect();
                    stream.write_all(&sent).unwrap();
                    let mut got = vec![0; sent.len()];
                    stream.read_exact(&mut got).unwrap();
                    assert_eq!(got, sent);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn a_hundred_connections_are_echoed_to_the_byte() {
    let (address, end) = echo_server();
    clients_are_echoed(address, 100);
    end();
}

/// The least of everything that Settings allow: with so many connections, completions come in one turn that the queue
/// has no room for. The kernel keeps those (IORING_FEAT_NODROP), and none may be lost for it.
#[test]
fn more_completions_than_the_ring_has_room_for_are_not_lost() {
    let least = RingConfig {
        submission_entries: 64,
        completion_entries: 64,
        receive_buffers: 16,
        receive_buffer_bytes: 4096,
        inbox_bytes: 4096,
    };
    let (address, end) = echo_server_with(least);
    clients_are_echoed(address, 400);
    end();
}

/// Here the queue overflows for certain, and with all kinds of completions: while the worker does not turn, ten times as many
/// peers as it has room for send, connect and end. Receiving and accepting end by that (without IORING_CQE_F_MORE) and begin
/// again. Once with a buffer for each peer, once with fewer, so that receiving ends for want of buffers, too.
#[test]
fn a_completion_queue_that_overflows_loses_no_byte_no_connection_and_no_wake() {
    const PEERS: usize = 80;
    const ROUNDS: usize = 10;
    let piece = |peer: usize, round: usize| vec![(peer * ROUNDS + round) as u8; 1 + peer + round];
    for receive_buffers in [128, 16] {
        let tiny = RingConfig { submission_entries: 8, completion_entries: 8, receive_buffers, ..CONFIG };
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let (mail, told) = mailbox::<usize>(4).unwrap();
        let (go, gone) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        let peers = std::thread::spawn(move || {
            // Each step of theirs is done before the worker turns again.
            let step = |work: &mut dyn FnMut()| {
                gone.recv().unwrap();
                work();
                done.send(()).unwrap();
            };
            let mut peers = Vec::new();
            step(&mut || peers = (0..PEERS).map(|_| TcpStream::connect(address).unwrap()).collect());
            for round in 0..ROUNDS {
                step(&mut || {
                    for (peer, stream) in peers.iter_mut().enumerate() {
                        stream.write_all(&piece(peer, round)).unwrap();
                        if round == ROUNDS - 1 {
                            stream.shutdown(Shutdown::Write).unwrap();
                        }
                    }
                    mail.send(round).unwrap();
                });
            }
            for (peer, mut stream) in peers.into_iter().enumerate() {
                let mut echoed = Vec::new();
                stream.read_to_end(&mut echoed).unwrap();
                assert_eq!(echoed, (0..ROUNDS).flat_map(|round| piece(peer, round)).collect::<Vec<_>>());
            }
        });
        let (overflows, open) = on_worker_with(tiny, move |ring| async move {
            let peers_work = || {
                go.send(()).unwrap();
                is_done.recv().unwrap();
            };
            told.attach(&ring);
            let listener = Listener::new(&ring, socket);
            let started = Rc::new(std::cell::Cell::new(false));
            let starts = started.clone();
            executor::spawn(
                async move {
                    for taken in 0..PEERS {
                        executor::spawn(echo(listener.accept().await.unwrap()), |_| {});
                        starts.set(taken + 1 == PEERS);
                    }
                },
                |_| {},
            );
            sleep(&ring, Duration::from_millis(20)).await; // it accepts
            peers_work();
            while !started.get() {
                sleep(&ring, Duration::from_millis(1)).await;
            }
            for round in 0..ROUNDS {
                sleep(&ring, Duration::from_millis(5)).await; // all receive
                peers_work();
                assert_eq!(told.receive(&ring).await, round);
            }
            while ring.sockets_open() > 0 {
                sleep(&ring, Duration::from_millis(1)).await;
            }
            (ring.overflows(), ring.sockets_open())
        });
        peers.join().unwrap();
        assert_eq!(open, 0);
        assert!(overflows > 0 || cfg!(feature = "epoll"), "no turn overflowed");
    }
}

/// Who has a connection is not reset by what follows, and who has none is as if nobody had heard.
#[test]
fn a_socket_that_is_about_to_close_keeps_who_came_and_lets_nobody_new_in() {
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let came = TcpStream::connect(address).unwrap();
    on_worker(move |ring| async move {
        let listener = Listener::new(&ring, socket);
        listener.turn_away().unwrap();
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(300)).unwrap_err();
        assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
        (&came).write_all(b"here").unwrap();
        let taken = listener.take_waiting().expect("it waits");
        assert!(listener.take_waiting().is_none());
        drop(listener);
        let mut heard = Vec::new();
        assert_eq!(taken.fill(&mut heard).await.unwrap(), 4);
    });
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_slow_reader_holds_back_the_sender_and_loses_nothing() {
    const TOTAL: usize = 24 << 20;
    let (address, end) = echo_server();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let piece: Vec<u8> = (0..1 << 16).map(|i| (i % 251) as u8).collect();
        for _ in 0..TOTAL / piece.len() {
            writer.write_all(&piece).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let (mut got, mut buf) = (0usize, vec![0; 1 << 15]);
    loop {
        let n = stream.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        for (i, byte) in buf[..n].iter().enumerate() {
            assert_eq!(usize::from(*byte), (got + i) % (1 << 16) % 251);
        }
        got += n;
    }
    assert_eq!(got, TOTAL);
    sender.join().unwrap();
    end();
}

#[test]
fn an_unread_inbox_stops_growing_at_its_mark() {
    let (listener, address) = local_pair();
    let writer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let written = (0..1024).map(|_| stream.write(&[7; 1 << 16])).take_while(Result::is_ok).count();
        assert!(written > 0);
    });
    let inbox = on_worker(move |ring| async move {
        let socket = Socket::connect(&ring, address, far()).await.unwrap();
        sleep(&ring, Duration::from_millis(200)).await;
        let mut buf = Vec::new();
        socket.fill(&mut buf).await.unwrap();
        buf.len()
    });
    let one_turn = usize::from(CONFIG.receive_buffers) * CONFIG.receive_buffer_bytes;
    assert!(
        (CONFIG.inbox_bytes..=CONFIG.inbox_bytes + one_turn).contains(&inbox),
        "{inbox} bytes in the inbox"
    );
    writer.join().unwrap();
}

/// What does not fit into the inbox waits in the kernel, which says so only once: nothing more is sent, and no
/// news of it comes when the inbox has room again.
#[test]
fn a_receive_that_paused_goes_on_without_news_from_the_peer() {
    const SENT: usize = 5 * CONFIG.inbox_bytes + 77;
    for ends in [false, true] {
        let (listener, address) = local_pair();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&(0..SENT).map(|i| (i % 251) as u8).collect::<Vec<_>>()).unwrap();
            if ends {
                stream.shutdown(Shutdown::Write).unwrap();
            }
            stream
        });
        let (got, end) = on_worker(move |ring| async move {
            let socket = Socket::connect(&ring, address, far()).await.unwrap();
            // All of it has arrived by then, and the end.
            let _stream = peer.join().unwrap();
            sleep(&ring, Duration::from_millis(50)).await;
            let (mut got, mut buf) = (Vec::new(), Vec::new());
            socket.deadline_in(Duration::from_secs(5));
            while got.len() < SENT {
                sleep(&ring, Duration::from_millis(10)).await;
                buf.clear();
                assert!(socket.fill(&mut buf).await.unwrap() > 0);
                got.append(&mut buf);
            }
            socket.deadline_in(Duration::from_millis(50));
            (got, socket.fill(&mut buf).await.map_err(|e| e.kind()))
        });
        assert!(got.len() == SENT && got.iter().enumerate().all(|(i, byte)| usize::from(*byte) == i % 251));
        assert_eq!(end, if ends { Ok(0) } else { Err(std::io::ErrorKind::TimedOut) });
    }
}

#[test]
fn more_than_the_kernel_has_room_for_is_sent_in_order_while_answers_come() {
    const TOTAL: usize = 12 << 20;
    let (listener, address) = local_pair();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut got, mut buf) = (0, vec![0; 256 << 10]);
        while got < TOTAL {
            std::thread::sleep(Duration::from_millis(1));
            let n = stream.read(&mut buf).unwrap();
            assert!(n > 0 && buf[..n].iter().enumerate().all(|(i, b)| usize::from(*b) == (got + i) % 251));
            got += n;
            stream.write_all(b".").unwrap();
        }
        stream.write_all(b"!").unwrap();
    });
    let last = on_worker(move |ring| async move {
        let socket = Socket::connect(&ring, address, far()).await.unwrap();
        let ours: Vec<u8> = (0..TOTAL / 2).map(|i| (i % 251) as u8).collect();
        let theirs = (TOTAL / 2..TOTAL).map(|i| (i % 251) as u8).collect();
        let mut gather = Gather::of(ours, theirs);
        assert!(gather.push_ours(Span::new(0, TOTAL / 2)) && gather.push_theirs(Span::new(0, TOTAL / 2)));
        let (gather, sent) = socket.send(gather).await;
        sent.unwrap();
        assert_eq!((gather.ours.len(), gather.theirs.len()), (TOTAL / 2, TOTAL / 2));
        let mut buf = Vec::new();
        while buf.last() != Some(&b'!') {
            assert!(socket.fill(&mut buf).await.unwrap() > 0);
        }
        buf.len()
    });
    peer.join().unwrap();
    assert!(last > TOTAL / (256 << 10));
}

#[test]
fn a_socket_that_is_dropped_while_it_sends_is_closed() {
    const SIZE: usize = 64 << 20;
    let (listener, address) = local_pair();
    let open = on_worker(move |ring| async move {
        let socket = Socket::connect(&ring, address, far()).await.unwrap();
        let mut gather = Gather::of(vec![1; SIZE], Vec::new());
        gather.whole();
        socket.start_send(gather);
        // The one waits for room, the other has not begun.
        sleep(&ring, Duration::from_millis(30)).await;
        drop(socket);
        let other = Socket::connect(&ring, address, far()).await.unwrap();
        let mut gather = Gather::of(b"last words".to_vec(), Vec::new());
        gather.whole();
        other.start_send(gather);
        drop(other);
        sleep(&ring, Duration::from_millis(50)).await;
        ring.sockets_open()
    });
    assert_eq!(open, 0);
    let mut read = Vec::new();
    let _ = listener.accept().unwrap().0.read_to_end(&mut read);
    assert!(read.len() < SIZE && read.iter().all(|byte| *byte == 1), "{} bytes", read.len());
    read.clear();
    listener.accept().unwrap().0.read_to_end(&mut read).unwrap();
    assert_eq!(read, b"last words");
}

#[test]
fn gathered_pieces_arrive_in_order_and_the_buffers_come_back() {
    let (listener, address) = local_pair();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut all).unwrap();
        all
    });
    let capacity = on_worker(move |ring| async move {
        let socket = Socket::connect(&ring, address, far()).await.unwrap();
        let mut gather = Gather::of(b"AACC".to_vec(), vec![b'b'; 3 << 20]);
        assert!(gather.push_ours(Span::new(0, 2)) && gather.push_theirs(Span::new(0, 3 << 20)));
        assert!(gather.push_ours(Span::new(2, 4)));
        let (gather, sent) = socket.send(gather).await;
        sent.unwrap();
        gather.theirs.capacity()
    });
    let all = reader.join().unwrap();
    assert!(capacity >= 3 << 20);
    assert_eq!((&all[..2], all.len(), &all[all.len() - 2..]), (&b"AA"[..], (3 << 20) + 4, &b"CC"[..]));
}

#[test]
fn waits_end_at_the_deadline_and_go_on_after_a_new_one() {
    let (listener, address) = local_pair();
    let outcome = on_worker(move |ring| async move {
        let socket = Socket::connect(&ring, address, far()).await.unwrap();
        let mut buf = Vec::new();
        socket.deadline_in(Duration::from_millis(30));
        let first = socket.fill(&mut buf).await.map_err(|e| e.kind());
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"late").unwrap();
        socket.deadline_in(Duration::from_secs(10));
        let second = socket.fill(&mut buf).await.map_err(|e| e.kind());
        (first, second, buf)
    });
    assert_eq!(outcome, (Err(std::io::ErrorKind::TimedOut), Ok(4), b"late".to_vec()));
}

#[test]
fn a_send_to_a_stuck_reader_times_out_and_dropping_it_is_safe() {
    let (listener, address) = local_pair();
    let kind = on_worker(move |ring| async move {
        let socket = Socket::connect(&ring, address, far()).await.unwrap();
        socket.deadline_in(Duration::from_millis(50));
        let mut gather = Gather::of(vec![1; 64 << 20], Vec::new());
        gather.whole();
        let kind = socket.send(gather).await.1.map_err(|e| e.kind());
        drop(socket);
        sleep(&ring, Duration::from_millis(30)).await;
        kind
    });
    assert_eq!(kind, Err(std::io::ErrorKind::TimedOut));
    drop(listener);
}

#[test]
fn refused_connections_and_vanished_peers_are_told() {
    let (listener, address) = local_pair();
    let (other, refused) = local_pair();
    drop(other);
    let outcome = on_worker(move |ring| async move {
        let refused = Socket::connect(&ring, refused, far()).await.map(drop).map_err(|e| e.kind());
        let socket = Socket::connect(&ring, address, far()).await.unwrap();
        let quiet = socket.is_quiet();
        drop(listener.accept().unwrap());
        std::future::poll_fn(|cx| socket.poll_gone(cx)).await;
        (refused, quiet, socket.is_quiet())
    });
    assert_eq!(outcome, (Err(std::io::ErrorKind::ConnectionRefused), true, false));
}

#[test]
fn a_connect_that_nobody_answers_times_out_and_leaves_nothing() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // Nobody accepts. The one place in the queue is taken, so the kernel drops whoever comes next.
    let _first = TcpStream::connect(address).unwrap();
    let outcome = on_worker(move |ring| async move {
        let soon = ring.now() + Duration::from_millis(60);
        let connected = Socket::connect(&ring, address, soon).await.map(drop).map_err(|e| e.kind());
        sleep(&ring, Duration::from_millis(50)).await;
        (connected, ring.sockets_open())
    });
    assert_eq!(outcome, (Err(std::io::ErrorKind::TimedOut), 0));
}

#[test]
fn a_peer_that_breaks_the_stream_fails_the_read() {
    let (listener, address) = local_pair();
    let outcome = on_worker(move |ring| async move {
        let socket = Socket::connect(&ring, address, far()).await.unwrap();
        let peer = socket2::Socket::from(listener.accept().unwrap().0);
        peer.set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        let mut buf = Vec::new();
        socket.deadline_in(Duration::from_secs(5));
        socket.fill(&mut buf).await.map_err(|e| e.kind())
    });
    assert_eq!(outcome, Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_panic_ends_its_own_task_only() {
    let (address, end) = echo_server();
    let told = on_worker(move |ring| async move {
        let (tell, told) = mpsc::channel();
        executor::spawn(async { panic!("planted") }, move |panic| {
            tell.send(panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap();
        });
        let socket = Socket::connect(&ring, address, far()).await.unwrap();
        let mut gather = Gather::of(b"still here".to_vec(), Vec::new());
        gather.whole();
        socket.send(gather).await.1.unwrap();
        let mut buf = Vec::new();
        socket.fill(&mut buf).await.unwrap();
        (told.recv().unwrap(), buf)
    });
    assert_eq!(told, (Some("planted".to_owned()), b"still here".to_vec()));
    end();
}

#[test]
fn no_descriptor_is_left_behind() {
    let open = || {
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter(|e| {
                let target = e.as_ref().ok().and_then(|e| std::fs::read_link(e.path()).ok());
                target.is_some_and(|t| t.to_string_lossy().starts_with("socket"))
            })
            .count()
    };
    // Other tests of this binary run beside this one, so the comparison is of this worker's own sockets.
    let (address, end) = echo_server();
    let counts = on_worker(move |ring| async move {
        for _ in 0..300 {
            let socket = Socket::connect(&ring, address, far()).await.unwrap();
            let mut gather = Gather::of(b"x".to_vec(), Vec::new());
            gather.whole();
            socket.send(gather).await.1.unwrap();
        }
        sleep(&ring, Duration::from_millis(100)).await;
        ring.sockets_open()
    });
    end();
    assert_eq!(counts, 0, "{} sockets in the process", open());
}

/// Whoever dropped a listener takes nothing from it any more, and connections may still come out of the ring: those
/// that the kernel accepted since the last turn. It does so between turns when the submission queue was full and
/// had to be handed over.
#[test]
fn connections_that_come_after_their_listener_is_gone_are_closed() {
    const ENTRIES: usize = 4;
    let config = RingConfig { submission_entries: ENTRIES as u32, ..CONFIG };
    let any = || bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let socket = any();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let clients: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    on_worker_with(config, move |ring| async move {
        let listener = Listener::new(&ring, socket);
        let others: Vec<_> = (0..2 * ENTRIES).map(|_| Listener::new(&ring, any())).collect();
        drop((listener, others));
        sleep(&ring, Duration::from_millis(50)).await;
    });
    for mut client in clients {
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // The end of the stream, or a reset where nobody had accepted: either way nobody holds it open.
        let ended = client.read(&mut [0]).map_err(|e| e.kind());
        assert!(matches!(ended, Ok(0) | Err(std::io::ErrorKind::ConnectionReset)), "{ended:?}");
    }
}

#[test]
fn mail_from_another_thread_arrives_in_order_and_a_full_box_says_so() {
    let (mail, receiver) = mailbox::<u32>(8).unwrap();
    assert!((0..8).all(|n| mail.send(n).is_ok()));
    assert_eq!(mail.send(8), Err(8));
    let sender = std::thread::spawn(move || {
        for n in 8..1000 {
            let mut message = n;
            while let Err(back) = mail.send(message) {
                message = back;
                std::thread::yield_now();
            }
        }
    });
    let got = on_worker(move |ring| async move {
        receiver.attach(&ring);
        let mut got = Vec::new();
        while got.len() < 1000 {
            got.push(receiver.receive(&ring).await);
        }
        got
    });
    sender.join().unwrap();
    assert_eq!(got, (0..1000).collect::<Vec<_>>());
}

#[test]
fn what_is_received_behind_a_buffer_is_what_was_sent_and_nothing_is_lost_at_the_end() {
    const TOTAL: usize = 300_000;
    let (listener, address) = local_pair();
    let server = std::thread::spawn(move || {
        let sent: Vec<u8> = (0..TOTAL).map(|i| (i / 7) as u8).collect();
        for ends in [true, false] {
            let (mut stream, _) = listener.accept().unwrap();
            // In parts of all sizes, with pauses in which the reader waits, and faster than it reads.
            let (mut rest, mut size) = (&sent[..], 1);
            while !rest.is_empty() {
                let (part, next) = rest.split_at(size.min(rest.len()));
                stream.write_all(part).unwrap();
                if size < 3000 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                (rest, size) = (next, size * 3);
            }
            if !ends {
                // Until the reader, who was told nothing, gives up.
                assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
            }
        }
    });
    let seen = on_worker(move |ring| async move {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let socket = Socket::connect(&ring, address, far()).await.unwrap();
            let mut buf = b"head:".to_vec();
            let end = loop {
                socket.deadline_in(Duration::from_millis(300));
                let before = buf.len();
                match socket.fill_behind(&mut buf).await {
                    Ok(0) => break None,
                    Ok(arrived) => assert_eq!(before + arrived, buf.len()),
                    Err(error) => break Some(error.kind()),
                }
            };
            seen.push((buf, end));
        }
        seen
    });
    server.join().unwrap();
    let expected: Vec<u8> = b"head:".iter().copied().chain((0..TOTAL).map(|i| (i / 7) as u8)).collect();
    for ((buf, end), expected_end) in seen.into_iter().zip([None, Some(std::io::ErrorKind::TimedOut)]) {
        assert!(buf == expected, "{} bytes", buf.len());
        assert_eq!(end, expected_end);
    }
}
