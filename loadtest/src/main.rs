//! `loadtest`: the simulated provider as a program, and the measurements that need it.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut failure = 2;
    let outcome = match arguments.split_first() {
        Some((command, rest)) if command == "simulate" => cli::simulate::run(rest),
        Some((command, rest)) if command == "drive" => cli::drive::run(rest),
        Some((command, rest)) if command == "suite" => cli::suite::run(rest),
        Some((command, rest)) if command == "tls" => cli::suite::tls::run(rest),
        Some((command, rest)) if command == "crash" => cli::crash::run(rest),
        Some((command, rest)) if command == "chaos" => {
            failure = 1;
            cli::chaos::run(rest)
        }
        Some((command, rest)) if command == "connections" => cli::connections::run(rest),
        Some((command, rest)) if command == "fit" => cli::fit::run(rest),
        Some((command, rest)) if command == "storm" => cli::storm::run(rest),
        Some((command, _)) if command == "--help" || command == "-h" || command == "help" => {
            println!("{HELP}");
            Ok(())
        }
        Some((command, _)) => Err(format!("there is no command {command:?}\n\n{HELP}")),
        None => Err(HELP.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(failure)
        }
    }
}

const HELP: &str = "\
loadtest: the simulated provider of tollgate, and measurements on loopback

  loadtest simulate [--port N] [settings]   be a provider until SIGINT, SIGTERM or the end of stdin
  loadtest simulate --help                  the settings
  loadtest drive --tollgate PATH --out DIR  streams, open loop, memory, by our own client
  loadtest drive --help                     the cases, and how they are measured
  loadtest suite --tollgate PATH --out DIR  CPU per proxied request of tollgate beside other gateways
  loadtest suite --help                     the cases, and how they are measured; loadtest/run builds it all first
  loadtest tls --tollgate PATH --out DIR    handshakes, full and resumed, and bulk by TLS, beside nginx
  loadtest tls --help                       how they are measured
  loadtest storm --tollgate PATH            256 clients on one key: do the limits hold?
  loadtest storm --help                     what is checked
  loadtest crash --tollgate PATH            kill -9 two hundred times: are budgets kept?
  loadtest crash --help                     what is checked
  loadtest chaos [--seconds N] [--seed N]   everything goes wrong at once: is anything lost, leaked or wrong?
  loadtest chaos --help                     what goes wrong, and what is checked
  loadtest connections [--idle N] [--streams N]  what connections cost, and attackers with many of them
  loadtest connections --help               what is measured
  loadtest fit --tollgate PATH              agents with huge max_tokens: is anything refused that would have fitted?
  loadtest fit --help                       what the trace is, and the control";
