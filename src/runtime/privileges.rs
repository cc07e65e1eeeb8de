//! Rights that a process gives up once its sockets are open, and what it keeps from others.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::ffi::CString;
use std::io;

/// Who a process becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The number of the user.
    pub user: u32,
    /// The number of the group.
    pub group: u32,
}

/// Finds a user by name, and its group unless another one is named.
///
/// # Errors
/// A sentence for the operator. Also for the user with all rights, which is not what this is for.
pub fn owner(user: &str, group: Option<&str>) -> Result<Owner, String> {
    let name = |name: &str| CString::new(name).map_err(|_| format!("process: {name:?} is no name"));
    let c_user = name(user)?;
    // SAFETY: a string with its end; what is returned is read before anything else asks for a user, and this is called
    // before there are threads that could.
    let found = unsafe { libc::getpwnam(c_user.as_ptr()).as_ref().map(|entry| (entry.pw_uid, entry.pw_gid)) };
    let (user, own_group) = found.ok_or_else(|| format!("process.user: this system has no user {user:?}"))?;
    let group = match group {
        None => own_group,
        Some(group) => {
            let c_group = name(group)?;
            // SAFETY: as above, of groups.
            let found = unsafe { libc::getgrnam(c_group.as_ptr()).as_ref().map(|entry| entry.gr_gid) };
            found.ok_or_else(|| format!("process.group: this system has no group {group:?}"))?
        }
    };
    match user {
        0 => {
            Err("process.user: this is the user with all rights: name another one, or leave process.user out"
                .to_owned())
        }
        _ => Ok(Owner { user, group }),
    }
}

/// Becomes `owner`, for all threads, with no other group, and for good: it is tried whether the way back is open.
///
/// # Errors
/// A sentence for the operator: this process is neither `owner` nor started with the rights to become so.
pub fn become_owner(owner: Owner) -> Result<(), String> {
    let Owner { user, group } = owner;
    if is(owner) {
        return Ok(());
    }
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        return Err("process.user: only a process that is started as root can become another user: start it so, or leave \
                    process.user out"
            .to_owned());
    }
    let done = |what: &str, result: i32| match result {
        0 => Ok(()),
        _ => Err(format!("process.user: {what}: {}", io::Error::last_os_error())),
    };
    // SAFETY: one group is read, which is there. The C library changes all threads; the groups go first, for a user without
    // rights may change none.
    unsafe {
        done("setgroups", libc::setgroups(1, &raw const group))?;
        done("setgid", libc::setgid(group))?;
        done("setuid", libc::setuid(user))?;
    }
    // SAFETY: takes a number, and must fail.
    let regained = unsafe { libc::setuid(0) == 0 || libc::setgid(0) == 0 };
    match is(owner) && !regained {
        true => Ok(()),
        false => {
            Err("process.user: rights could be had back, or were not given up; nothing is served so"
                .to_owned())
        }
    }
}

/// Whether that is who this process is, whichever of its numbers is asked.
fn is(owner: Owner) -> bool {
    let (mut users, mut groups) = ([0; 3], [0; 3]);
    // SAFETY: three numbers each are written, which are there.
    let known = unsafe {
        let [real, effective, saved] = &mut users;
        let of_user = libc::getresuid(real, effective, saved);
        let [real, effective, saved] = &mut groups;
        of_user == 0 && libc::getresgid(real, effective, saved) == 0
    };
    known && users == [owner.user; 3] && groups == [owner.group; 3]
}

/// No program that this process starts gets more rights than it has.
///
/// # Errors
/// As the system says.
pub fn keep_to_own_rights() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// What is in memory, keys among it, goes into no dump of a crash, and no other process of the same user may read it.
/// Becoming another user sets the second to what the machine has as `fs.suid_dumpable`, and running another program
/// undoes it: it is to be called again after either.
///
/// # Errors
/// As the system says.
pub fn keep_memory() -> io::Result<()> {
    rustix::process::setrlimit(
        rustix::process::Resource::Core,
        rustix::process::Rlimit { current: Some(0), maximum: Some(0) },
    )?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_the_one_with_all_rights_is_refused() {
        assert!(owner("no-such-user", None).is_err_and(|why| why.contains("no-such-user")));
        assert!(owner("root", None).is_err_and(|why| why.contains("all rights")));
        assert!(owner("nobody", Some("no-such-group")).is_err_and(|why| why.contains("no-such-group")));
        assert!(owner("a\0b", None).is_err());
        let nobody = owner("nobody", None).expect("every system has one");
        assert!(nobody.user != 0 && !is(nobody));
    }
}
