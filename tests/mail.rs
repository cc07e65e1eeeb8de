//! What workers are told: they look at the board, so that mail which is late, or which nobody has opened, costs them nothing.

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Client, bucket, chat, manifests, settings, until};
use tollgate::app::cli::Options;
use tollgate::app::files;
use tollgate::config::{Overrides, Snapshot};
use tollgate::coordinator::{Coordinator, Prepared, Seed, Signals, Waiting};
use tollgate::limit::{Accounts, Tuning, Wanted};
use tollgate::mail::{Board, Desk, InForce, Resolved, ToWorker, WORKER_MAIL_MAX};
use tollgate::proxy::handshake::TlsServer;
use tollgate::proxy::tls::TlsClient;
use tollgate::proxy::{self, Entrance, WorkerSeed};
use tollgate::runtime::executor::{self, WorkerThread};
use tollgate::runtime::{MailReceiver, MailSender, RingConfig, bind, clock, mailbox, sleep};
use tollgate_loadtest::{Script, Simulator};

const RING: RingConfig = RingConfig {
    submission_entries: 64,
    completion_entries: 256,
    receive_buffers: 32,
    receive_buffer_bytes: 4096,
    inbox_bytes: 16 << 10,
};

/// The usual routes with one more, which redirects what is below `/again/N`. All providers are on this machine.
fn snapshot(number: usize) -> Snapshot {
    let again = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: again, namespace: llm}}\nspec:\n  \
         parentRefs: [{{name: edge}}]\n  rules: [{{matches: [{{path: {{type: PathPrefix, value: /again/{number}}}}}], filters: \
         [{{type: RequestRedirect, requestRedirect: {{hostname: a.example, statusCode: 301}}}}]}}]\n"
    );
    let manifests = manifests(&(bucket("openai", 1_000, 1, "1h", "requests") + &again));
    let hosts = ["api.openai.com", "api.anthropic.com", "plain.example"];
    let overrides = Overrides {
        hosts: hosts.map(|host| (host.to_owned(), "http://127.0.0.1:9".to_owned())).to_vec(),
        listeners: vec![(8080, "127.0.0.1:0".to_owned())],
        admin: Some("none".to_owned()),
        ..Overrides::default()
    };
    let options = Options { overrides, ..Options::default() };
    let quiet = settings("  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}");
    files::compile(&[("manifests.yaml", &manifests), ("settings.yaml", &quiet)], &options, &|_| None)
        .unwrap_or_else(|faults| panic!("{faults}"))
}

fn board(workers: u16) -> Arc<Board> {
    let in_force = InForce::after(None, snapshot(1), usize::from(workers));
    let accounts = Arc::new(Accounts::new(1_000, false, Tuning::default()));
    Board::new((0..workers).map(|worker| Desk::new(worker, 16)).collect(), Arc::new(in_force), accounts)
}

/// A worker that serves; its address.
fn serve(board: &Arc<Board>, mail: MailReceiver<ToWorker>) -> (WorkerThread, SocketAddr) {
    let socket = bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = socket.local_addr().expect("an address").as_socket().expect("of IP");
    let seed = WorkerSeed {
        desk: board.desks[0].clone(),
        board: board.clone(),
        mail,
        sockets: vec![Entrance { listener: 0, socket, is_ours: true }],
        tls: TlsClient::new(rustls::RootCertStore::empty()).expect("a client"),
        tls_server: TlsServer::new().expect("a server"),
    };
    board.health.set_gate(true);
    let worker = executor::start("worker-0", None, RING, move |ring| proxy::run(ring, seed));
    until("it serves", || board.health.workers_adopted() == 1);
    (worker.expect("a worker starts"), address)
}

fn post() -> (MailSender<ToWorker>, MailReceiver<ToWorker>) {
    mailbox(WORKER_MAIL_MAX).expect("a mailbox")
}

/// The statuses below `/again` of these numbers.
fn ask<const N: usize>(address: SocketAddr, numbers: [usize; N]) -> [u16; N] {
    numbers.map(|number| Client::connect(address).ask(&format!("/again/{number}/x"), "", "").status)
}

fn generation(board: &Board, worker: usize) -> u64 {
    board.desks[worker].counters.config_generation.get()
}

#[test]
fn a_worker_that_heard_nothing_serves_what_is_in_force_with_all_that_is_known_of_it() {
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let board = board(1);
    let (mail, receiver) = post();
    let (worker, address) = serve(&board, receiver);
    assert_eq!(ask(address, [1, 2, 3]), [301, 404, 404]);
    let propose = |number| board.propose(InForce::after(Some(&board.in_force()), snapshot(number), 1));

    // It has made one ready that did not come in force.
    let failed = propose(2);
    mail.send(ToWorker::Prepare).expect("room");
    until("it is ready", || board.desks[0].ready() == failed.generation);
    board.withdraw();

    // The next is another one, of which it hears when everything has been said.
    let next = propose(3);
    assert_ne!(board.desks[0].ready(), next.generation, "it is ready for another one");
    let addresses: Vec<Arc<[SocketAddr]>> =
        next.snapshot.targets.iter().map(|_| Arc::from([simulator.addr()])).collect();
    board.adopt(next.clone());
    board.set_resolved(Arc::new(Resolved { generation: next.generation, addresses }));
    // Somebody was slow, who still looked up what was in force before.
    board.set_resolved(Arc::new(Resolved { generation: 1, addresses: Vec::new() }));
    assert_eq!(ask(address, [1, 3]), [301, 404], "nobody has told it");
    mail.send(ToWorker::Adopt).expect("room");
    until("it has looked", || generation(&board, 0) == next.generation);
    assert_eq!(ask(address, [1, 2, 3]), [404, 404, 301]);
    assert_eq!(Client::connect(address).ask("/openai", "", &chat("gpt-5", false)).status, 200);
    mail.send(ToWorker::Stop).expect("room");
    worker.join().expect("it ends cleanly");
}

/// A worker that opens its box when it may. It serves nothing, and says what it has heard.
fn late(
    board: &Arc<Board>,
    mail: MailReceiver<ToWorker>,
    opens: &Arc<AtomicBool>,
) -> (WorkerThread, Arc<Mutex<Vec<ToWorker>>>) {
    let heard: Arc<Mutex<Vec<ToWorker>>> = Arc::default();
    let (board, opens, list) = (board.clone(), opens.clone(), heard.clone());
    let worker = executor::start("late", None, RING, move |ring| async move {
        mail.attach(&ring);
        while !opens.load(Ordering::Acquire) {
            sleep(&ring, Duration::from_millis(1)).await;
        }
        let desk = &board.desks[1];
        loop {
            let told = mail.receive(&ring).await;
            desk.waiting.taken(told);
            list.lock().expect("a list").push(told);
            match told {
                ToWorker::Prepare => {
                    board.proposed().iter().for_each(|next| desk.set_ready(next.generation));
                }
                ToWorker::Adopt => desk.counters.config_generation.set(board.in_force().generation),
                ToWorker::Stop => return executor::stop(),
                _ => {}
            }
        }
    });
    (worker.expect("a worker starts"), heard)
}

#[test]
fn a_box_that_nobody_opens_holds_one_of_a_kind_and_loses_none() {
    let board = board(2);
    let ((first, receiver), (second, closed)) = (post(), post());
    let tls = TlsClient::new(rustls::RootCertStore::empty()).expect("a client");
    let prepared = Prepared::start(&board, vec![first, second], tls.usual().clone()).expect("they start");
    let (worker, address) = serve(&board, receiver);
    let helpers = prepared.begin(None).expect("they begin");
    let opens = Arc::new(AtomicBool::new(false));
    let (sleeper, heard) = late(&board, closed, &opens);
    let changed = Arc::new(AtomicBool::new(false));
    let (mut number, watched) = (1, changed.clone());
    let seed = Seed {
        pulses: vec![worker.pulse(), sleeper.pulse()],
        reload: Some(Box::new(move || {
            number += 1;
            Ok(snapshot(number))
        })),
        watch: Some(Box::new(move || watched.swap(false, Ordering::AcqRel))),
        signals: Signals::listen(false).expect("none"),
        offer: None,
        successor: None,
        replaces: false,
    };
    let waiting = Waiting::start().expect("a thread");
    let coordinator = Coordinator::start(waiting, seed, helpers).expect("it starts");

    // More grants than any box has room for, one by one.
    let wanted = Wanted { rules: &board.in_force().rules, rule: 0, key: 0 };
    let account = board.accounts.find(&wanted, &String::new, clock::moment());
    for _ in 0..10 * WORKER_MAIL_MAX {
        board.ask([(account.clone(), 1)].into_iter());
        until("it is granted", || board.asks.is_empty());
    }

    // A configuration that one worker does not come to keeps all others from it.
    changed.store(true, Ordering::Release);
    until("one is proposed", || board.proposed().is_some());
    let failed = board.proposed().map_or(2, |next| next.generation);
    until("the other worker is ready", || board.desks[0].ready() == failed);
    until("it is given up", || board.proposed().is_none());
    assert_eq!((board.in_force().generation, ask(address, [1, 2])), (1, [301, 404]));

    // The box is opened, and nothing of what follows is missed.
    opens.store(true, Ordering::Release);
    changed.store(true, Ordering::Release);
    until("all serve another", || (0..2).all(|worker| generation(&board, worker) == failed + 1));
    assert_eq!(ask(address, [1, 2, 3]), [404, 404, 301]);
    coordinator.stop();
    coordinator.stop();
    let ending = coordinator.join();
    worker.join().expect("it ends cleanly");
    sleeper.join().expect("it ends cleanly");
    ending.finish();
    let heard = heard.lock().expect("a list");
    let granted = heard.iter().filter(|mail| **mail == ToWorker::Granted).count();
    assert_eq!((granted, heard.last()), (1, Some(&ToWorker::Stop)), "{heard:?}");
}
