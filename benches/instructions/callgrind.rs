//! This program under valgrind: whether that is there, what processor it shows, what callgrind counts.

use std::process::{Command, Output, Stdio};

/// The version of valgrind; `None` when it is not installed.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What the processor that valgrind shows can do, which is what the code that is counted chooses its way by.
pub(crate) fn processor() -> Result<String, String> {
    let output = valgrind(&["--tool=none", "-q"], &["--processor"])?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The instructions of all counted runs of a case.
pub(crate) fn count(case: &str) -> Result<u64, String> {
    // Nothing else counts, so that a set-up, which is not the same in every process, has no part in it. The star
    // stands for the hash behind the name.
    let options =
        ["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=instructions::counted*"];
    let said = valgrind(&options, &["--case", case])?.stderr;
    let said = String::from_utf8_lossy(&said);
    let collected = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    // A loop around nothing is more than nothing: 0 is a function that callgrind did not find.
    collected
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("callgrind counted nothing of {case:?}:\n{said}"))
}

fn valgrind(options: &[&str], arguments: &[&str]) -> Result<Output, String> {
    let this = std::env::current_exe().map_err(|why| format!("where is this program? {why}"))?;
    let output =
        Command::new("valgrind").args(options).arg(this).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|why| format!("valgrind does not start: {why}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("valgrind {} failed, {}:\n{said}", arguments.join(" "), output.status))
}

/// What the present processor can do, of what code in this program asks for.
pub(crate) fn features() -> String {
    let mut found = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! ask {
            ($($name:tt),*) => { $(if std::arch::is_x86_feature_detected!($name) { found.push($name) })* };
        }
        ask!("sse4.2", "pclmulqdq", "avx", "avx2", "bmi1", "bmi2", "avx512f", "avx512bw", "avx512vbmi");
    }
    found.join(" ")
}
