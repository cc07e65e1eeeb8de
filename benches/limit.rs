//! What it costs to ask a limit: a bucket alone, a book over 1 and 4 limits, a refusal, an account that two
//! threads want at once, and what a client is told about its limits.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tollgate::base::Tick;
use tollgate::limit::{Account, Book, Bucket, Measure, Rate, Rule, Spend, Unit};

criterion_group!(benches, bucket, book, refusal, hot_account, standings);
criterion_main!(benches);

/// What is reserved for a request, and what it turns out to have used.
const ESTIMATE: Spend = Spend { tokens: 1_500 };
const USED: Spend = Spend { tokens: 1_112 };

/// A refill that divides nothing evenly, as `100000/minute` does not.
const RATE: Rate = Rate { per_fill: 100_000, fill: Duration::from_secs(60) };
/// So much that the benches never empty it.
const PLENTY: u64 = 1 << 60;
/// When accounts open, and an hour later, when they are asked.
const OPENED: Tick = Tick(3_600_000_000_000);
const NOW: Tick = Tick(2 * OPENED.0);

fn bucket(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/bucket");
    let bucket = Bucket::new(&rule(0, Unit::Tokens, PLENTY), OPENED);
    group.bench_function("take and correct", |bencher| {
        bencher.iter(|| {
            let taken = bucket.take(black_box(ESTIMATE.tokens), black_box(NOW));
            bucket.correct(taken.unwrap_or(0), black_box(USED.tokens));
        });
    });
    group.bench_function("balance", |bencher| bencher.iter(|| bucket.balance(black_box(NOW))));
    // In debt, so that the time until it is paid back has to be computed.
    let indebted = Bucket::new(&rule(0, Unit::Tokens, 1_000), OPENED);
    indebted.correct(0, 1 << 40);
    assert!(indebted.balance(NOW) < 0);
    group.bench_function("wait of a debtor", |bencher| {
        bencher.iter(|| indebted.wait_for(black_box(ESTIMATE.tokens), black_box(NOW)));
    });
}

/// Reserving for a request and settling it, which is all that limits add to one that is admitted.
fn book(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/book/reserve and settle");
    for count in [1, 4, 16] {
        let (book, limits) = open(count, PLENTY);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| exchange(&book, black_box(&limits)));
        });
    }
    // A reservation that dies with its exchange.
    let (book, limits) = open(4, PLENTY);
    group.bench_function("4, dropped", |bencher| {
        bencher.iter(|| drop(book.reserve(black_box(&limits), ESTIMATE, black_box(NOW))));
    });
}

/// What a client that is over its limit costs: the first limit refuses, or the last of four after the others
/// gave and got back.
fn refusal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/book/refuse");
    for (name, count, short) in [("1", 1, 0), ("4, the first is short", 4, 0), ("4, the last is short", 4, 3)]
    {
        let (book, limits) = open(count, PLENTY);
        book.accounts()[short].bucket().correct(0, 2 * PLENTY);
        let refused = book.reserve(&limits, ESTIMATE, NOW).expect_err("one limit is in debt");
        assert_eq!(refused.index as usize, short);
        group.bench_function(name, |bencher| {
            bencher.iter(|| book.reserve(black_box(&limits), ESTIMATE, black_box(NOW)).is_err());
        });
    }
}

/// One exchange on accounts that another thread settles on without pause: the worst that two workers do to
/// each other. Time of one thread while the other runs.
fn hot_account(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/two threads");
    for (name, shared) in [("4 limits of their own", false), ("4 limits shared", true)] {
        let (book, limits) = open(4, PLENTY);
        let (other, _) = if shared { (book.clone(), limits.clone()) } else { open(4, PLENTY) };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                beside(|| exchange(&other, &limits), || exchange(&book, &limits), times)
            });
        });
    }
    let bucket = Bucket::new(&rule(0, Unit::Requests, PLENTY), OPENED);
    let take = || {
        let _ = black_box(bucket.take(1, black_box(NOW)));
    };
    group.bench_function("take from one bucket", |bencher| {
        bencher.iter_custom(|times| beside(take, take, times));
    });
}

/// How long `times` of `measured` take on this thread while another thread repeats `other`.
fn beside(other: impl Fn() + Sync, measured: impl Fn(), times: u64) -> Duration {
    let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                other();
                begun.store(true, Ordering::Relaxed);
            }
        });
        while !begun.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        let started = Instant::now();
        (0..times).for_each(|_| measured());
        let took = started.elapsed();
        ended.store(true, Ordering::Relaxed);
        took
    })
}

/// The numbers for `x-ratelimit-*`: the tightest limit of each unit.
fn standings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/book/standings");
    for count in [1, 4] {
        let (book, limits) = open(count, 1_000_000);
        // Not full, so that the time until it is has to be computed.
        let reservation = book.reserve(&limits, Spend { tokens: 900_000 }, NOW).expect("all full");
        book.settle(reservation, ESTIMATE, NOW, |_| {});
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| book.standings(black_box(&limits), black_box(NOW)));
        });
    }
}

fn exchange(book: &Book, limits: &[u32]) {
    let reservation = book.reserve(limits, black_box(ESTIMATE), black_box(NOW)).expect("plenty is there");
    book.settle(reservation, black_box(USED), black_box(NOW), |settled| {
        black_box(settled);
    });
}

/// A book of `count` accounts, limits on requests and on tokens by turns, and the list of all of them.
fn open(count: u32, capacity: u64) -> (Book, Vec<u32>) {
    let units = [Unit::Requests, Unit::Tokens].into_iter().cycle();
    let rules = (0..count).zip(units).map(|(n, unit)| rule(n, unit, capacity));
    let accounts: Vec<Arc<Account>> = rules.map(|rule| Account::open(&rule, OPENED)).collect();
    (Book::new(accounts), (0..count).collect())
}

fn rule(n: u32, unit: Unit, capacity: u64) -> Rule {
    Rule::new(&format!("default/policy/limit-{n}"), unit, Measure::Bucket { capacity, rate: RATE })
}
