//! Configuration from files.

use super::cli::Options;
use crate::config::{self, Conditions, Diagnostics, Snapshot, Source};
use crate::coordinator::credential_file;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The price lists that are built in; rows of a configuration's own Prices take the place of theirs.
const PRICES: (&str, &str) = ("prices.yaml (built in)", include_str!("../../config/prices.yaml"));

/// The largest file that is read; more than config accepts, so that config can say what is too much.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Reads all files of `options`, checks them, compiles them; and the files, if any, that lead to credentials of clouds.
///
/// # Errors
/// Everything that is wrong, for the operator, one fault per line.
pub fn load(options: &Options) -> Result<Snapshot, String> {
    let texts = read(&options.paths)?;
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let snapshot = compile(&texts, options, &|name| std::env::var(name).ok())
        .map_err(|faults| format!("{faults}").trim_end().to_owned())?;
    check_origins(&snapshot)?;
    Ok(snapshot)
}

/// Reads all files of `options`, and says how each of their resources stands.
///
/// # Errors
/// Files that could not be read.
pub fn conditions(options: &Options) -> Result<Conditions, String> {
    let texts = read(&options.paths)?;
    let sources: Vec<Source<'_>> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    let prices = Source { name: PRICES.0, text: PRICES.1 };
    Ok(config::conditions(prices, &sources, &|name| std::env::var(name).ok(), &options.overrides))
}

/// Refuses files of AWS and Google that ask for what is not done, before requests wait for it.
///
/// # Errors
/// Everything that is wrong with them, one fault per line.
pub fn check_origins(snapshot: &Snapshot) -> Result<(), String> {
    let (mut faults, mut seen) = (Vec::new(), HashSet::new());
    for backend in &snapshot.backends {
        let Some(origin) = backend.origin().filter(|origin| seen.insert(origin.id)) else { continue };
        let checked = origin.check(&credential_file);
        faults.extend(checked.err().map(|fault| format!("Backend {}: {fault}", backend.name)));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// Compiles texts that are in memory, with the built-in prices under them.
///
/// # Errors
/// As [`config::load_with_prices`].
pub fn compile(
    texts: &[(&str, &str)],
    options: &Options,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Snapshot, Diagnostics> {
    let source = |&(name, text)| Source { name, text };
    let sources: Vec<Source<'_>> = texts.iter().map(source).collect();
    config::load_with_prices(source(&PRICES), &sources, env, &options.overrides)
}

/// Texts by the names of their files. They hold credentials, and are overwritten with their last use.
fn read(paths: &[PathBuf]) -> Result<Vec<(String, Zeroizing<String>)>, String> {
    let mut faults = Vec::new();
    let mut texts = Vec::new();
    for path in paths {
        match files_of(path) {
            Ok(files) => {
                for file in files {
                    match read_file(&file) {
                        Ok(text) => texts.push((file.display().to_string(), Zeroizing::new(text))),
                        Err(fault) => faults.push(fault),
                    }
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(texts) } else { Err(faults.join("\n")) }
}

/// The file itself, or a directory's `.yaml`, `.yml` and `.json` files by name.
pub(super) fn files_of(path: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = path.display();
    let kind = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    if kind.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| matches!(file.extension().and_then(|e| e.to_str()), Some("yaml" | "yml" | "json")))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("{shown}: no .yaml, .yml or .json file in this directory"));
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let size = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("{shown}: {size} bytes are too many for a configuration"));
    }
    let bytes = fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        format!("{shown}:{line}: not UTF-8")
    })
}
