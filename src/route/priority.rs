//! Who is served when a worker cannot serve everybody: routes say how much they matter, the worker how far it is behind.

use std::time::Duration;

/// How much the requests of a route matter beside those of others; the words are those of the Gateway API Inference
/// Extension. In the order in which they are given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Given up first: work that somebody will ask for again.
    Sheddable,
    /// What a route is that says nothing.
    #[default]
    Standard,
    /// Never given up while there is room: not for being late, and the last places are theirs.
    Critical,
}

impl Priority {
    /// All of them, in their order.
    pub const ALL: [Priority; 3] = [Priority::Sheddable, Priority::Standard, Priority::Critical];

    /// As routes and metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Priority::Sheddable => "sheddable",
            Priority::Standard => "standard",
            Priority::Critical => "critical",
        }
    }

    /// The one with this name.
    pub fn of_name(name: &str) -> Option<Priority> {
        Priority::ALL.into_iter().find(|priority| priority.name() == name)
    }

    /// How many of `places` requests of this priority may take. Sheddable ones leave a quarter to all others. Standard ones
    /// leave a sixteenth to critical ones, where `reserves` says that a route is critical; else all are theirs.
    pub fn places(self, places: u32, reserves: bool) -> u32 {
        match self {
            Priority::Critical => places,
            Priority::Standard if reserves => places - places / 16,
            Priority::Standard => places,
            Priority::Sheddable => places - places / 4,
        }
    }
}

/// How far a worker is behind, told by a timer that it looks at every tenth of a second: how late it fires is how long
/// what has arrived at that moment waits for its turn. The mean of the looks counts, the last one for a quarter.
///
/// One late moment is nothing: a large body, another process. A worker whose mean was too late at five looks in a row has
/// more to do than it can, and each look that finds it so gives up more: sheddable requests first, all of them after four
/// looks, then of the standard ones a twelfth more each time, up to eleven of twelve. Each look that finds it in time takes
/// one such step back, so that it stays where what is served is served in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// The mean, in nanoseconds.
    behind: u64,
    /// Looks in a row at which it was too late.
    late: u8,
    /// Steps taken, 0 to [`STEPS`].
    steps: u8,
}

/// Looks that find a worker late before it gives anything up.
const PATIENCE: u8 = 5;
/// Steps in which all of the sheddable requests are given up.
const OF_SHEDDABLE: u8 = 4;
/// Steps beyond them in which all but a twelfth of the standard ones are.
const OF_STANDARD: u8 = 11;
const STEPS: u8 = OF_SHEDDABLE + OF_STANDARD;

impl Pressure {
    /// Takes note that the timer fired `late`, where `most` is how late it may. However late it is, it counts for no more than
    /// four times that, so that one stop of the machine is over soon.
    pub fn look(&mut self, late: Duration, most: Duration) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 8);
        let (late, most) = (nanos(late), nanos(most));
        self.behind = (self.behind / 4 * 3).saturating_add(late.min(most.saturating_mul(4)) / 4);
        if self.behind <= most {
            (self.late, self.steps) = (0, self.steps.saturating_sub(1));
            return;
        }
        self.late = self.late.saturating_add(1);
        if self.late >= PATIENCE {
            self.steps = (self.steps + 1).min(STEPS);
        }
    }

    /// Whether a request of this priority is given up, where `random` is even over all its bits.
    pub fn gives_up(self, priority: Priority, random: u64) -> bool {
        let (steps, of) = match priority {
            Priority::Critical => return false,
            Priority::Sheddable => (self.steps.min(OF_SHEDDABLE), OF_SHEDDABLE),
            Priority::Standard => (self.steps.saturating_sub(OF_SHEDDABLE), OF_STANDARD + 1),
        };
        ((random >> 32) * u64::from(of)) >> 32 < u64::from(steps)
    }

    /// Steps taken of 15; 0 gives nobody up.
    pub const fn steps(self) -> u8 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_millis(250);
    const LATE: Duration = Duration::from_secs(1);

    /// Of a dozen requests of each priority, how many are given up.
    fn given_up(pressure: Pressure) -> [usize; 3] {
        let even = |n: u64| ((n << 32) / 1200) << 32;
        let of_1200 = |priority| (0..1200).filter(|n| pressure.gives_up(priority, even(*n))).count();
        Priority::ALL.map(|priority| (of_1200(priority) + 50) / 100)
    }

    #[test]
    fn a_moment_is_nothing_and_who_stays_late_gives_up_the_sheddable_first() {
        // Looks: so many late, then so many in time; of a dozen sheddable, standard and critical requests given up.
        for (late, in_time, expected) in [
            (0, 0, [0, 0, 0]),
            (5, 0, [0, 0, 0]),
            (6, 0, [3, 0, 0]),
            (9, 0, [12, 0, 0]),
            (10, 0, [12, 1, 0]),
            (20, 0, [12, 11, 0]),
            (200, 0, [12, 11, 0]),
            // It is a while until the mean has forgotten.
            (10, 4, [12, 5, 0]),
            (10, 8, [12, 1, 0]),
            (200, 18, [3, 0, 0]),
            (200, 19, [0, 0, 0]),
        ] {
            let mut pressure = Pressure::default();
            (0..late).for_each(|_| pressure.look(LATE, MOST));
            (0..in_time).for_each(|_| pressure.look(Duration::ZERO, MOST));
            assert_eq!(given_up(pressure), expected, "{late} late, {in_time} in time");
        }
    }

    #[test]
    fn a_stop_of_the_machine_is_forgotten_before_anything_is_given_up() {
        for (stop, looks_between) in [(1, 20), (3600, 20), (1, 8)] {
            let mut pressure = Pressure::default();
            for _ in 0..100 {
                pressure.look(Duration::from_secs(stop), MOST);
                for _ in 0..looks_between {
                    pressure.look(Duration::from_millis(8), MOST);
                    assert_eq!(pressure.steps(), 0, "{stop} s");
                }
            }
        }
    }

    /// A timer that fires between long turns is early in some and late in others.
    #[test]
    fn the_mean_counts() {
        let mut pressure = Pressure::default();
        let looks = [0, 900, 300, 700, 100, 800, 500, 200];
        looks.into_iter().cycle().take(40).for_each(|ms| pressure.look(Duration::from_millis(ms), MOST));
        assert_eq!(pressure.steps(), STEPS);
    }

    #[test]
    fn the_last_places_are_kept_for_who_matters_most() {
        for (priority, places, reserves, expected) in [
            (Priority::Sheddable, 16, false, 12),
            (Priority::Sheddable, 16, true, 12),
            (Priority::Standard, 16, false, 16),
            (Priority::Standard, 16, true, 15),
            (Priority::Critical, 16, true, 16),
            (Priority::Standard, 16384, true, 15360),
        ] {
            assert_eq!(priority.places(places, reserves), expected, "{priority:?} {places} {reserves}");
        }
    }
}
