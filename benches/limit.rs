//! What it costs to ask a limit: an account alone, a book over 1, 4 and 16 limits, a refusal, an account that two
//! threads want at once, a million keys, and what a client is told about its limits.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tollgate::base::{Moment, Tick};
use tollgate::limit::{
    Account, Accounts, Book, Caller, KeyPart, Measure, Rate, Rule, RuleSet, Spend, Taking, Terms, Tuning,
    Unit,
};

criterion_group!(benches, account, book, refusal, hot_account, many_keys, standings);
criterion_main!(benches);

/// What is reserved for a request, and what it turns out to have used.
const ESTIMATE: Spend = spend(1_500);
const USED: Spend = spend(1_112);

/// A refill that divides nothing evenly, as `100000/minute` does not.
const RATE: Rate = Rate { per_fill: 100_000, fill: Duration::from_secs(60) };
/// So much that the benches never empty it.
const PLENTY: u64 = 1 << 40;
/// When accounts open, and an hour later, when they are asked.
const OPENED: Moment = Moment { tick: Tick(3_600_000_000_000), unix_ms: 0 };
const NOW: Moment = Moment { tick: Tick(7_200_000_000_000), unix_ms: 3_600_000 };

/// How long a reservation may be open.
const HOLD: Duration = Duration::from_secs(3600);

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
        let mut desk = Desk::open(count, 0, &host(1));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| bencher.iter(|| desk.exchange(0)));
    }
}

/// What a client that is over its limit costs: the first limit refuses, or the last of four after the others
/// gave and got back.
fn refusal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit/book/refuse");
    for (name, count, short) in [("1", 1, 0), ("4, the first is short", 4, 0), ("4, the last is short", 4, 3)]
    {
        let mut desk = Desk::open(count, 0, &host(1));
        desk.account(short).settle(0, 2 * PLENTY, 0, NOW);
        assert!(!desk.is_admitted(0));
        group.bench_function(name, |bencher| bencher.iter(|| desk.is_admitted(0)));
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
                    move || Desk::open(4, 1, &other).into_exchange(),
                    move || Desk::open(4, 0, &one).into_exchange(),
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
        let wanted = tollgate::limit::Wanted { rules: &other.rules, rule: 0, key: spread(key) };
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
        let mut desk = Desk::open(count, 0, &host(1));
        let ticket = desk.reserve(0).expect("plenty is there");
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| desk.book.standings(&ticket, black_box(NOW)));
        });
    }
}

/// A worker's book over limits on requests and on tokens by turns.
struct Desk {
    rules: RuleSet,
    accounts: Arc<Accounts>,
    book: Book,
}

/// A caller whose key is known.
struct Key(u128);

impl Caller for Key {
    fn key(&self, _: &[KeyPart]) -> Result<u128, usize> {
        Ok(self.0)
    }

    fn label(&self, _: &[KeyPart]) -> String {
        String::new()
    }
}

impl Desk {
    fn open(count: usize, worker: u32, accounts: &Arc<Accounts>) -> Desk {
        let units = [Unit::Requests, Unit::Tokens].into_iter().cycle();
        let rules: Vec<Rule> = (0..count).zip(units).map(|(n, unit)| rule(n, unit)).collect();
        let book = Book::new(worker, accounts.clone(), HOLD);
        Desk { rules: RuleSet::new(&rules), accounts: accounts.clone(), book }
    }

    fn reserve(&mut self, key: u128) -> Option<tollgate::limit::Ticket> {
        let limits = 0..self.rules.rules.len() as u32;
        let note = |_, note| {
            black_box(note);
        };
        self.book.reserve(&self.rules, limits, &Key(key), black_box(&ESTIMATE), black_box(NOW), note).ok()
    }

    fn is_admitted(&mut self, key: u128) -> bool {
        self.reserve(key).is_some()
    }

    fn exchange(&mut self, key: u128) {
        let ticket = self.reserve(key).expect("plenty is there");
        self.book.settle(ticket, &self.rules, black_box(&USED), black_box(NOW), |settled| {
            black_box(settled);
        });
    }

    fn into_exchange(mut self) -> impl FnMut() {
        move || self.exchange(0)
    }

    fn account(&self, rule: u32) -> Arc<Account> {
        let wanted = tollgate::limit::Wanted { rules: &self.rules, rule, key: 0 };
        self.accounts.find(&wanted, &String::new, NOW)
    }
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

fn host(workers: u32) -> Arc<Accounts> {
    Arc::new(Accounts::new(2_000_000, false, tuning(workers)))
}

fn tuning(workers: u32) -> Tuning {
    Tuning { workers, ..Tuning::default() }
}

fn measure() -> Measure {
    Measure::Bucket { capacity: PLENTY, rate: RATE }
}

fn open_account() -> Account {
    let terms = Arc::new(Terms::new(&"default/policy".into(), Unit::Tokens, &measure()));
    Account::open(1, "", &terms, false, OPENED)
}

fn rule(n: usize, unit: Unit) -> Rule {
    let key = vec![KeyPart::ApiKey];
    Rule { key, ..Rule::new(&format!("default/policy/limit-{n}"), unit, measure()) }
}

const fn spend(tokens: u64) -> Spend {
    Spend {
        input: tokens,
        cached_input: 0,
        cache_write: 0,
        output: 0,
        reasoning: 0,
        cost: tollgate::base::Money::ZERO,
    }
}

/// A digest, even over all its bits, of a small number.
fn spread(key: u64) -> u128 {
    u128::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}
