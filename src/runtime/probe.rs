//! Whether this kernel can carry a worker, and if not, which knob to turn.

use super::ring::{Ring, RingConfig};
use std::io;

/// The memory that glommio wants to be allowed to lock.
const MEMLOCK_MIN: u64 = 512 << 10;

/// Opens and closes a ring as a worker would, on the present thread, and explains a failure.
///
/// # Errors
/// One sentence for the operator: what is missing and which sysctl, limit or seccomp rule brings it.
pub fn check(config: &RingConfig) -> Result<(), String> {
    if let Some(limit) = memlock_limit().filter(|limit| *limit < MEMLOCK_MIN) {
        return Err(format!(
            "RLIMIT_MEMLOCK is {limit} bytes, io_uring needs at least {MEMLOCK_MIN}: run `ulimit -l 512`, or set \
             LimitMEMLOCK=512K in the systemd unit, or `--ulimit memlock=524288` in the container"
        ));
    }
    // A thread of its own: a ring belongs to the thread that opened it.
    let config = *config;
    let opened = std::thread::spawn(move || Ring::open(&config).map(drop)).join();
    match opened {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err("opening an io_uring panicked".to_owned()),
    }
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => format!(
            "io_uring is forbidden here ({error}): if `sysctl kernel.io_uring_disabled` is not 0, set it to 0 (or to 1 \
             and kernel.io_uring_group to this user's group); in a container, allow the system calls io_uring_setup, \
             io_uring_enter and io_uring_register in the seccomp profile (docker: --security-opt seccomp=PROFILE.json)"
        ),
        Some(libc::ENOSYS) => format!(
            "this kernel or its seccomp profile has no io_uring ({error}): tollgate needs Linux 6.1 or newer with \
             CONFIG_IO_URING, and a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register"
        ),
        Some(libc::EINVAL) => format!(
            "this kernel's io_uring lacks what tollgate uses ({error}): single-issuer rings with deferred task work \
             and rings of provided buffers, which came with Linux 6.1"
        ),
        Some(libc::ENOMEM) => format!(
            "the kernel gave no memory for an io_uring ({error}): raise RLIMIT_MEMLOCK (`ulimit -l`) or the cgroup's \
             memory limit, or lower `ring` in Settings"
        ),
        _ => format!("an io_uring could not be opened: {error}"),
    }
}

/// Asks for pages of the usual size only. The allocator wants huge ones, and a thread that touches a few kilobytes of
/// its heap then holds two megabytes: 26 MiB at rest instead of 12, and no difference in CPU per request that six
/// interleaved rounds showed.
pub fn keep_to_small_pages() {
    // SAFETY: takes numbers only, and concerns what this process maps from now on. Where the kernel does not know it,
    // nothing changes.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Raises the number of files that this process may have open to what an administrator allows (the soft limit
/// of RLIMIT_NOFILE to the hard one), and returns it; `None` when the system does not say.
pub fn raise_open_files() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one `rlimit`, which is there.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: reads one `rlimit`, which is there.
    let raised = known && unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0;
    known.then_some(if raised { wanted.rlim_cur } else { limit.rlim_cur })
}

fn memlock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one `rlimit`, which is there.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0;
    known.then_some(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_the_kernel_names_the_knob() {
        for (code, knob) in [
            (libc::EPERM, "kernel.io_uring_disabled"),
            (libc::ENOSYS, "seccomp"),
            (libc::EINVAL, "Linux 6.1"),
            (libc::ENOMEM, "RLIMIT_MEMLOCK"),
        ] {
            assert!(explain(&io::Error::from_raw_os_error(code)).contains(knob), "{code}");
        }
    }
}
