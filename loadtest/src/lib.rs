//! The simulated providers and the load kit.
