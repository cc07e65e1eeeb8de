//! Which cores this process may run on.

use std::mem::size_of;

/// The cores that the scheduler may put this process on, in ascending order; what `taskset`, cpusets and
/// container limits leave of the machine. Never empty.
pub fn available() -> Vec<usize> {
    // SAFETY: `cpu_set_t` is a plain C structure for which all zeroes is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes at most `size_of::<cpu_set_t>()` bytes into `set`.
    let known = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } == 0;
    let is_set = |cpu: &usize| {
        // SAFETY: reads one bit of `set`; `cpu` is below CPU_SETSIZE.
        unsafe { libc::CPU_ISSET(*cpu, &set) }
    };
    let cores: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(is_set).collect();
    if known && !cores.is_empty() { cores } else { vec![0] }
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_a_core_to_run_on() {
        let cores = super::available();
        assert!(!cores.is_empty() && cores.is_sorted());
    }
}
