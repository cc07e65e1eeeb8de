//! What it costs to ask a limit: an account alone, a book over 1, 4 and 16 limits, a refusal, an account that two
//! threads want at once, a million keys, and what a client is told about its limits.

#[path = "cases/limit.rs"]
mod cases;

use cases::{Desk, ESTIMATE, NOW, PLENTY, USED, host, measure, tuning};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tollgate::base::{Moment, Tick};
use tollgate::limit::{Account, Taking, Terms, Tuning, Unit, Wanted};

criterion_group!(benches, account, book, refusal, hot_account, many_keys, standings);
criterion_main!(benches);

/// When accounts open: an hour before they are asked.
const OPENED: Moment = Moment { tick: Tick(3_600_000_000_000), unix_ms: 0 };

fn account(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/account");
    let account = open_account();
    let tuning = tuning(1);
    group.bench_function("take and settle", |bencher| {
        bencher.iter(|| {
            let taken = account.take(black_box(ESTIMATE.input), 0, &tuning, black_box(NOW));
            let Taking::Took { amount, slot, .. } = taken else { unreachable!("plenty is there") };
            account.settle(amount, black_box(USED.input), slot, NOW);
        });
    });
    group.bench_function("balance", |bencher| bencher.iter(|| account.balance(black_box(NOW))));
    // In debt, so that the time until it is paid back has to be computed.
    let indebted = open_account();
    indebted.settle(0, 2 * PLENTY, 0, NOW);
    assert!(indebted.balance(NOW) < 0);
    group.bench_function("wait of a debtor", |bencher| {
        bencher.iter(|| indebted.wait_for(black_box(ESTIMATE.input), black_box(NOW)));
    });
}

/// Reserving for a request and settling it, which is all that limits add to one that is admitted.
fn book(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/book/reserve and settle");
    for count in [1, 4, 16] {
        let mut exchange = cases::exchange(count);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| bencher.iter(&mut exchange));
    }
}

/// What a client that is over its limit costs: the first limit refuses, or the last of four after the others
/// gave and got back.
fn refusal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/book/refuse");
    for (name, count, short) in [("1", 1, 0), ("4, the first is short", 4, 0), ("4, the last is short", 4, 3)]
    {
        let accounts = host(1);
        let mut desk = Desk::open(count, 0, &accounts);
        let wanted = Wanted { rules: &desk.rules, rule: short, key: 0 };
        accounts.find(&wanted, &String::new, NOW).settle(0, 2 * PLENTY, 0, NOW);
        assert!(desk.reserve(0).is_none());
        group.bench_function(name, |bencher| bencher.iter(|| desk.reserve(0).is_some()));
    }
}

/// One exchange on accounts that another thread settles on without pause: the worst that two workers do to
/// each other. Time of one thread while the other runs.
fn hot_account(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/two threads");
    for (name, shared) in [("4 limits of their own", false), ("4 limits shared", true)] {
        let first = host(2);
        let hosts = if shared { [first.clone(), first] } else { [first, host(2)] };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let (one, other) = (hosts[0].clone(), hosts[1].clone());
                beside(
                    move || endless(Desk::open(4, 1, &other)),
                    move || endless(Desk::open(4, 0, &one)),
                    times,
                )
            });
        });
    }
    // A worker that takes and does not settle spends from its lease, which the other does not touch.
    for (name, share_percent) in [("take from one account", 0), ("take from one account, leased", 12)] {
        let account = Arc::new(open_account());
        let tuning = Tuning { share_percent, ..tuning(2) };
        let taker = |worker| {
            let account = account.clone();
            move || {
                let mut now = NOW;
                move || {
                    now.tick = now.tick + Duration::from_nanos(50); // time passes as it does for a worker
                    black_box(account.take(1, worker, &tuning, now));
                }
            }
        };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| beside(taker(1), taker(0), times));
        });
    }
}

/// A million keys, each with an account, asked at random: every decision misses the caches.
fn many_keys(criterion: &mut Criterion) {
    const KEYS: u64 = 1_000_000;
    let mut group = criterion.benchmark_group("limit/a million keys");
    group.sample_size(20);
    group.bench_function("reserve and settle, at random", |bencher| {
        let (mut desk, mut next) = (crowded_desk(KEYS), 1u64);
        bencher.iter(|| {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            desk.exchange(spread(next % KEYS + 1));
        });
    });
}

/// A worker that has asked for all keys; tells what each costs in memory.
fn crowded_desk(keys: u64) -> Desk {
    let before = resident_bytes();
    let mut desk = Desk::open(1, 0, &host(1));
    (1..=keys).for_each(|key| desk.exchange(spread(key)));
    eprintln!("bytes per key that a worker uses: {}", (resident_bytes() - before) / keys);
    // Memory of idle keys: nothing but their accounts.
    let idle_before = resident_bytes();
    let idle = host(1);
    let mut other = Desk::open(1, 0, &idle);
    (1..=keys).for_each(|key| {
        let wanted = Wanted { rules: &other.rules, rule: 0, key: spread(key) };
        idle.find(&wanted, &String::new, NOW);
    });
    eprintln!("bytes per idle key: {}", (resident_bytes() - idle_before) / keys);
    other.exchange(spread(1));
    drop((other, idle));
    desk
}

/// Memory of this process that is in use, from the system.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * 4096
}

/// The numbers for `x-ratelimit-*`: the tightest limit of each unit.
fn standings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/book/standings");
    for count in [1, 4] {
        let mut standings = cases::standings(count);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| bencher.iter(&mut standings));
    }
}

fn endless(mut desk: Desk) -> impl FnMut() {
    move || desk.exchange(0)
}

/// How long `times` of what `measured` makes take on this thread while another thread repeats what `other` makes.
fn beside<F: FnMut(), G: FnMut()>(
    other: impl FnOnce() -> F + Send,
    measured: impl FnOnce() -> G,
    times: u64,
) -> Duration {
    let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = other();
            while !ended.load(Ordering::Relaxed) {
                other();
                begun.store(true, Ordering::Relaxed);
            }
        });
        while !begun.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        let mut measured = measured();
        let started = Instant::now();
        (0..times).for_each(|_| measured());
        let took = started.elapsed();
        ended.store(true, Ordering::Relaxed);
        took
    })
}

fn open_account() -> Account {
    let terms = Arc::new(Terms::new(&"default/policy".into(), Unit::Tokens, &measure()));
    Account::open(1, "", &terms, false, OPENED)
}

/// A digest, even over all its bits, of a small number.
fn spread(key: u64) -> u128 {
    u128::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}
