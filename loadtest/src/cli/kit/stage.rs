//! What every live test begins and ends with.

use super::gateway::{Setup, end_after};
use std::path::Path;
use std::time::Duration;
use tollgate_loadtest::{Script, Simulator};

/// A live test of one binary.
pub(crate) struct Stage<'a> {
    /// The command, after which its directory is called.
    pub(crate) name: &'static str,
    /// The gateway to be tried.
    pub(crate) binary: &'a Path,
    /// Longer than all of it can take.
    pub(crate) life: Duration,
}

impl Stage<'_> {
    /// Runs `test` with a simulated provider that keeps a journal. What the gateway wrote is left for whoever wants to
    /// know why it failed.
    pub(crate) fn run(
        self,
        test: impl FnOnce(&Setup, &Simulator) -> Result<(), String>,
    ) -> Result<(), String> {
        end_after(self.life);
        let setup = Setup::new(self.binary, self.name)?;
        let script = Script { record: false, journal: true, ..Script::default() };
        let outcome = match Simulator::start(script) {
            Ok(simulator) => test(&setup, &simulator),
            Err(why) => Err(format!("simulator: {why}")),
        };
        match &outcome {
            Ok(()) => setup.remove(),
            Err(_) => eprintln!("configuration and all that was written are in {}", setup.dir.display()),
        }
        outcome
    }
}
