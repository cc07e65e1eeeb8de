//! Users with their passwords: lines of htpasswd files, each read, each name once.

use crate::access::Users;
use crate::access::basic::{COST_MAX, Hash, TwinUsers, User, Wrong, WrongHash};
use crate::config::check::World;
use crate::config::check::environment::Secrets;
use crate::config::diagnostic::Place;
use crate::config::resources::Meta;
use crate::config::resources::access::basic::{Basic, FILES, UserSource};

const LINE_HELP: &str = "write NAME:HASH, which is what htpasswd -nB NAME prints";
const HASH_HELP: &str = "hash the password anew: htpasswd -nB NAME";

/// The users of a policy; `None` after a fault.
pub(super) fn compile(world: &World<'_>, secrets: &Secrets, meta: &Meta, given: &Basic) -> Option<Users> {
    let mut list = List { world, users: Vec::new(), places: Vec::new(), is_whole: true };
    match &given.source {
        UserSource::Lines(lines) => {
            lines.iter().for_each(|line| list.add(line.value.trim(), line.at, ""));
            // One that had a fault is told of already.
            list.is_whole &= !lines.is_empty();
        }
        UserSource::Secret(name) => {
            let wanted = (meta.namespace.as_str(), name.value.as_str());
            let secret = world.find(&world.all.secrets, "Secret", wanted, name.at)?.spec.as_ref()?;
            let entry = FILES.iter().find_map(|key| secret.entries.iter().find(|entry| entry.key == *key));
            let Some(entry) = entry else {
                let [first, second] = FILES;
                let message = format!("Secret {} has neither {first:?} nor {second:?}", name.value);
                world.faults.fault_with_help(
                    name.at,
                    message,
                    format!("write an htpasswd file under {first}"),
                );
                return None;
            };
            // A fault in it is reported where it was read.
            let bytes = secrets.value(wanted.0, wanted.1, &entry.key).flatten()?;
            let at = entry.value.at;
            let Ok(text) = std::str::from_utf8(bytes) else {
                world.faults.fault_with_help(at, format!("{:?} is no text in UTF-8", entry.key), LINE_HELP);
                return None;
            };
            for (number, line) in (1u32..).zip(text.lines()).map(|(number, line)| (number, line.trim())) {
                if !line.is_empty() && !line.starts_with('#') {
                    list.add(line, at, &format!("line {number} of {:?}: ", entry.key));
                }
            }
            if list.users.is_empty() && list.is_whole {
                world.faults.warn(given.at, "there is no user, so nobody is let in by a password");
            }
        }
    }
    let List { users, places, is_whole, .. } = list;
    let made = Users::new(given.mode, &given.realm, users);
    let made = made.map_err(|TwinUsers(first, second)| {
        let (first, second) = (places.get(first), places.get(second));
        let (at, what) = second.cloned().unwrap_or((given.at, String::new()));
        let (other, other_what) = first.cloned().unwrap_or((given.at, String::new()));
        let help =
            format!("it stands at {}{} already; keep one", world.faults.name(other), part(&other_what));
        world.faults.fault_with_help(at, format!("{what}this user is there twice"), help);
    });
    made.ok().filter(|_| is_whole)
}

/// ` (line 3 of ".htaccess")`
fn part(what: &str) -> String {
    match what.trim_end_matches(": ") {
        "" => String::new(),
        what => format!(" ({what})"),
    }
}

/// Users as they are read.
struct List<'w, 'a> {
    world: &'w World<'a>,
    users: Vec<User>,
    /// Where each stands, and the beginning of what is said of it.
    places: Vec<(Place, String)>,
    is_whole: bool,
}

impl List<'_, '_> {
    /// Reads a line at `at`; `what` says which one of a file it is.
    fn add(&mut self, line: &str, at: Place, what: &str) {
        match User::read(line) {
            Ok(user) => {
                if let Hash::Sha1(_) = user.hash() {
                    let message = format!(
                        "{what}the password of {:?} is hashed quickly and without salt ({{SHA}}): who sees the hash may find it",
                        user.name()
                    );
                    self.world.faults.warn_with_help(at, message, HASH_HELP);
                }
                self.users.push(user);
                self.places.push((at, what.to_owned()));
            }
            Err(wrong) => {
                let (said, help) = told(&wrong);
                self.world.faults.fault_with_help(at, format!("{what}{said}"), help);
                self.is_whole = false;
            }
        }
    }
}

/// What is wrong with a line, and what to write. No password and no hash is repeated.
fn told(wrong: &Wrong) -> (String, String) {
    match wrong {
        Wrong::NoColon => ("a user must be NAME:HASH".into(), LINE_HELP.into()),
        Wrong::Name => (
            "the name of a user must have 1 to 255 bytes without control characters".into(),
            LINE_HELP.into(),
        ),
        Wrong::Hash(name, WrongHash::Damaged(form)) => {
            (format!("the hash of {name:?} begins with {form} and is damaged behind that"), HASH_HELP.into())
        }
        Wrong::Hash(name, WrongHash::Cost(cost)) => (
            format!(
                "the password of {name:?} is hashed with cost {cost}, of which at most {COST_MAX} is taken: each step doubles the work"
            ),
            "hash it anew: htpasswd -nBC 12 NAME".into(),
        ),
        Wrong::Hash(name, WrongHash::Crypt) => (
            format!("the password of {name:?} is hashed with crypt, which is not supported"),
            HASH_HELP.into(),
        ),
        Wrong::Hash(name, WrongHash::Plain) => (
            format!(
                "what {name:?} has is no hash that is known: bcrypt, $apr1$ or {{SHA}}; a password must not stand in the clear"
            ),
            HASH_HELP.into(),
        ),
    }
}
