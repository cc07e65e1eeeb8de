//! Layer 7: assembly and command line. The one place that names everything, and that speaks to a person.
//!
//! * [`gateway`] puts the threads together and takes them apart; tests and benches start it too.
//! * [`run`] is `tollgate run`, [`check`] is `tollgate check`, [`demo`] is `tollgate demo`, [`explain`] is
//!   `tollgate explain`, [`replay`] is `tollgate replay`.

pub mod check;
pub mod cli;
pub mod conditions;
pub mod demo;
pub mod explain;
#[cfg(test)]
mod faults;
pub mod files;
pub mod gateway;
mod openings;
pub mod replay;
pub mod run;
mod screen;
mod watch;

use crate::runtime::probe;
use std::process::ExitCode;

/// The version, as `--version`, the start-up report and metrics say it. A control build says that it is one.
pub const VERSION: &str = match cfg!(feature = "epoll") {
    true => concat!(env!("CARGO_PKG_VERSION"), "+epoll"),
    false => env!("CARGO_PKG_VERSION"),
};

/// Exit code for a configuration or an environment that tollgate cannot work with.
pub const EXIT_UNUSABLE: u8 = 2;

/// The whole program.
pub fn main() -> ExitCode {
    probe::keep_to_small_pages();
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(cli::Command::Help(text)) => {
            screen::show(format_args!("{text}\n"));
            ExitCode::SUCCESS
        }
        Ok(cli::Command::Version) => {
            screen::show(format_args!("tollgate {VERSION}\n"));
            ExitCode::SUCCESS
        }
        Ok(cli::Command::Run(options)) => run::run(&options),
        Ok(cli::Command::Check(options, output)) => check::check(&options, output),
        Ok(cli::Command::Explain(wanted)) => explain::explain(&wanted),
        Ok(cli::Command::Replay(wanted)) => replay::replay(&wanted),
        Ok(cli::Command::Demo { serve }) => demo::demo(serve),
        Err(error) => {
            screen::tell(format_args!("tollgate: {error}\n\nTry `tollgate --help`."));
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}
