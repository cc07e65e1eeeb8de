use std::collections::HashMap;

/// Where the hashes of a [`FastMap`] begin: another one for each map, unknown outside this process.
pub type FastSeed = foldhash::fast::RandomState;

/// A map that every request is looked up in, with a hash that takes a few nanoseconds where the standard library's
/// takes twenty.
///
/// Its hash is seeded but not proof against somebody who can choose the keys *and* watch how long look-ups take. So
/// its keys are of our choice (configuration), or few by a bound and checked in full when found.
pub type FastMap<K, V> = HashMap<K, V, FastSeed>;
