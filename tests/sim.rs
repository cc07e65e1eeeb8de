//! A false world with a seed: workers, a coordinator, clocks, a disk and its mail, and a naive oracle that checks
//! after every event what `ARCHITECTURE.md` promises of limits.
//!
//! * I1 conservation: every account shows what a plain balance with refill would, to the unit where no lease
//!   and no clock that is behind blurs it.
//! * I2 bound: no interval holds more admitted than capacity and refill; what was used beyond reservations is debt.
//! * I3 no false refusal: who is refused could not be covered; after the wait it is admitted, just before it not.
//! * I4 crash: what may be used is on disk before it is, so that no restart gives any of it twice.
//! * I5 owner and expiry: what nobody settles frees itself.
//! * I6 reload: changed rules keep what was used, and sweeping forgives nothing.
//!
//! `cargo test --release --test sim` walks through [`SEEDS`] worlds, `SIM_SEEDS=100000` through so many, and
//! `SIM_SEED=17` through that one. `tests/sim/mutants.rs` lists bugs that are planted, each of which must be
//! noticed.

#[path = "sim/coordinator.rs"]
mod coordinator;
#[path = "sim/dice.rs"]
mod dice;
#[path = "sim/disk.rs"]
mod disk;
#[path = "sim/draw.rs"]
mod draw;
#[path = "sim/mutants.rs"]
mod mutants;
#[path = "sim/oracle.rs"]
mod oracle;
#[path = "sim/requests.rs"]
mod requests;
#[path = "sim/world.rs"]
mod world;

use mutants::Mutant;
use std::time::Duration;
use world::{Check, World};

/// Worlds that are walked through when nobody asks for more.
const SEEDS: u64 = 3000;

/// Worlds in which a planted bug must be noticed.
const SEEDS_OF_A_MUTANT: u64 = 1500;

const EVENTS: usize = 120;

/// The life of one world.
fn live(seed: u64, mutant: Option<Mutant>) -> Check {
    let mut world = World::new(seed, mutant);
    let lived = (0..EVENTS).try_for_each(|_| event(&mut world)).and_then(|()| world.quieten());
    lived.map_err(|fault| format!("{fault}; replay it with SIM_SEED={seed}\n{}", world.tale()))
}

fn event(world: &mut World) -> Check {
    let times = [Duration::ZERO, ms(1), ms(20), ms(30_000), ms(3_600_000), ms(90_000_000)];
    let most =
        times[[0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 5][world.dice.below(19) as usize]];
    let time = world.dice.any_time(most);
    world.advance(time);
    match world.dice.below(100) {
        0..40 => world.request()?,
        40..58 => world.end()?,
        58..68 => world.stream()?,
        68..83 => world.disk_turns()?,
        83..87 => world.sweep_book()?,
        87..89 => world.sweep_accounts()?,
        89..92 => world.checkpoint()?,
        92..94 => world.reload()?,
        94..96 => world.control()?,
        96..98 => world.step_clock(),
        98 => world.crash()?,
        _ if world.dice.percent(50) => world.shut_down()?,
        _ => {}
    }
    if world.dice.percent(70) {
        world.collect_asks();
    }
    world.check_all()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn limits_hold_in_every_world() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(SEEDS),
    };
    // The first fault is told whole, of the next ones their headlines.
    let faults: Vec<String> = seeds.filter_map(|seed| live(seed, None).err()).take(20).collect();
    let headlines = faults.iter().filter_map(|fault| fault.lines().next()).collect::<Vec<_>>().join("\n");
    assert!(faults.is_empty(), "{}\n{headlines}", faults[0]);
}

#[test]
fn every_planted_bug_is_noticed() {
    let is_missed = |mutant: &Mutant| (0..SEEDS_OF_A_MUTANT).all(|seed| live(seed, Some(*mutant)).is_ok());
    let missed: Vec<Mutant> = Mutant::ALL.into_iter().filter(is_missed).collect();
    assert!(missed.is_empty(), "planted in {SEEDS_OF_A_MUTANT} worlds and not noticed: {missed:?}");
}

#[test]
fn a_seed_is_one_world() {
    let tale = |seed| {
        let mut world = World::new(seed, None);
        let lived = (0..EVENTS).try_for_each(|_| event(&mut world));
        (lived, world.tale())
    };
    assert_eq!(tale(7), tale(7));
    assert_ne!(tale(7), tale(8));
}
