//! What is done to the gateway meanwhile: reloads, restarts, and requests to its admin port.

use super::config::{ADMIN_TOKEN, Ports, broken, yaml};
use super::weather::Weather;
use crate::cli::kit::gateway::{Gateway, Setup};
use crate::cli::kit::http::{Client, get};
use crate::cli::kit::pages;
use crate::cli::kit::random::Random;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// One thing that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Another version of the configuration, and SIGHUP.
    Reload(u64),
    /// A configuration that nobody can use, and SIGHUP; the one before must stay in force. Then that again.
    BadReload(u64),
    /// A page of the admin port.
    Page(&'static str),
    /// What is no request, to the admin port.
    AdminRubbish(u64),
    /// SIGTERM, and started anew on the same store.
    Restart,
}

/// What is done when, in milliseconds since the beginning; drawn from the seed alone.
pub(super) fn plan(seed: u64, millis: u64) -> Vec<(u64, Act)> {
    let mut random = Random::new(seed, u64::MAX);
    let mut acts = Vec::new();
    let mut at = 300;
    while at < millis {
        let act = match random.between(0, 99) {
            0..=34 => Act::Reload(random.between(0, 1_000)),
            35..=49 => Act::BadReload(random.between(0, 1_000)),
            50..=84 => Act::Page(PAGES[random.between(0, PAGES.len() as u64 - 1) as usize]),
            _ => Act::AdminRubbish(random.next()),
        };
        acts.push((at, act));
        at += random.between(150, 900);
    }
    // All restarts are in the first half: the life that is looked at for leaks is a long one.
    let restarts = (millis / 12_000).clamp(1, 20);
    for place in 0..restarts {
        let share = millis / 2 / (restarts + 1);
        acts.push((share * (place + 1) + random.between(0, share / 2), Act::Restart));
    }
    acts.sort_by_key(|(at, _)| *at);
    acts
}

const PAGES: [&str; 6] = ["/metrics", "/state", "/accounts", "/readyz", "/healthz", "/nothing"];

/// How long a reload may take to be in force on all workers.
const RELOAD_MAX: Duration = Duration::from_secs(15);
/// How long a configuration that cannot be used is given to do harm.
const HARM: Duration = Duration::from_millis(700);

/// The gateway, and who does these things to it.
pub(super) struct Steer<'a> {
    pub(super) setup: &'a Setup,
    pub(super) ports: Ports,
    pub(super) weather: &'a Weather,
    pub(super) gateway: Option<Gateway>,
    /// What went wrong.
    pub(super) complaints: Vec<String>,
    /// How often each was done.
    pub(super) done: [u64; 5],
    version: u64,
}

impl<'a> Steer<'a> {
    pub(super) fn start(setup: &'a Setup, ports: Ports, weather: &'a Weather) -> Result<Steer<'a>, String> {
        setup.configure(&yaml(setup, ports, 0))?;
        let gateway = Some(setup.start()?);
        Ok(Steer { setup, ports, weather, gateway, complaints: Vec::new(), done: [0; 5], version: 0 })
    }

    pub(super) fn gateway(&mut self) -> Result<&mut Gateway, String> {
        self.gateway.as_mut().ok_or_else(|| "there is no gateway".to_string())
    }

    /// Does one thing. An error ends the run; what is wrong but can be lived with is a complaint.
    pub(super) fn act(&mut self, act: Act) -> Result<(), String> {
        let place = match act {
            Act::Reload(version) => {
                self.version = version;
                self.reload()?;
                0
            }
            Act::BadReload(kind) => {
                self.bad_reload(kind)?;
                1
            }
            Act::Page(path) => {
                let mut client = Client::to(self.setup.admin);
                let expected = if path == "/nothing" { 404 } else { 200 };
                match client.ask(&get(path, &format!("authorization: Bearer {ADMIN_TOKEN}\r\n"))) {
                    Ok((head, _)) if head.status == expected => {}
                    Ok((head, _)) => self.complaints.push(format!("{path}: status {}", head.status)),
                    Err(error) => self.complaints.push(format!("{path}: {error}")),
                }
                2
            }
            Act::AdminRubbish(seed) => {
                admin_rubbish(self.setup.admin, seed);
                3
            }
            Act::Restart => {
                self.restart()?;
                4
            }
        };
        self.done[place] += 1;
        if let Some(status) = self.gateway()?.ended() {
            let said = self.gateway()?.said();
            return Err(format!("the gateway ended with {status}; it said\n{said}"));
        }
        Ok(())
    }

    /// Ends it in order and starts it again.
    fn restart(&mut self) -> Result<(), String> {
        self.weather.restart();
        if let Some(gateway) = self.gateway.take() {
            gateway.terminate()?;
        }
        self.gateway = Some(self.setup.start()?);
        self.weather.restart();
        Ok(())
    }

    fn reload(&mut self) -> Result<(), String> {
        let before = self.generations()?.0;
        self.setup.configure(&yaml(self.setup, self.ports, self.version))?;
        self.gateway()?.signal("HUP")?;
        let until = Instant::now() + RELOAD_MAX;
        loop {
            let (least, in_force) = self.generations()?;
            if least > before && least == in_force {
                return Ok(());
            }
            if Instant::now() > until {
                self.complaints
                    .push(format!("a reload is not in force: {least} of {in_force}, {before} before"));
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn bad_reload(&mut self, kind: u64) -> Result<(), String> {
        let (_, before) = self.generations()?;
        self.setup.configure(&broken(self.setup, self.ports, kind))?;
        self.gateway()?.signal("HUP")?;
        std::thread::sleep(HARM);
        let (_, after) = self.generations()?;
        if after != before {
            self.complaints.push(format!("a broken configuration of kind {} is in force", kind % 4));
        }
        self.reload()
    }

    /// The least generation of a worker, and that which is in force.
    fn generations(&self) -> Result<(u64, u64), String> {
        let state = pages::state(self.setup.admin)?;
        let workers = state["workers"].as_array().ok_or("/state has no workers")?;
        let least = workers.iter().filter_map(|worker| worker["generation"].as_u64()).min().unwrap_or(0);
        Ok((least, state["generation"].as_u64().unwrap_or(0)))
    }
}

/// Bytes, and nobody waits long for what they bring.
fn admin_rubbish(port: u16, seed: u64) {
    let mut random = Random::new(seed, 0);
    let bytes: Vec<u8> = match random.between(0, 2) {
        0 => (0..random.between(1, 3_000)).map(|_| random.next() as u8).collect(),
        1 => b"POST /accounts HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{".to_vec(),
        _ => b"GET /state HTTP/1.1\r\nhost".to_vec(),
    };
    let Ok(mut socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
    let _ = socket.set_read_timeout(Some(Duration::from_millis(100)));
    let _ = socket.write_all(&bytes);
    let _ = socket.read(&mut [0; 1024]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_plan_which_has_everything() {
        assert_eq!(plan(3, 60_000), plan(3, 60_000));
        assert_ne!(plan(3, 60_000), plan(4, 60_000));
        for (millis, restarts) in [(8_000, 1), (30_000, 2), (60_000, 5), (600_000, 20)] {
            let plan = plan(1, millis);
            let found = plan.iter().filter(|(_, act)| *act == Act::Restart);
            assert!(found.clone().all(|(at, _)| *at < millis / 2), "{plan:?}");
            assert_eq!(found.count() as u64, restarts);
            assert!(plan.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        }
        let plan = plan(1, 60_000);
        assert!(plan.iter().any(|(_, act)| matches!(act, Act::Reload(_))));
        assert!(plan.iter().any(|(_, act)| matches!(act, Act::BadReload(_))));
    }
}
