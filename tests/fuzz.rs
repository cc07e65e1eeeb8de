//! The fuzz targets on stable, bounded: their corpus, what the golden cases have of their kind, and inputs that are made of those
//! by mutation. The numbers of inputs are counted, not timed, and the same seed makes the same inputs.
//!
//! * `TOLLGATE_FUZZ_SEED=7` makes other inputs; `TOLLGATE_FUZZ_TIMES=50` fifty times as many.
//! * `TOLLGATE_FUZZ_SEEDS=folder` writes what it begins with into `folder/TARGET`, for a long run with libFuzzer.
//!
//! What makes a target panic is written to a file, whose path is told; with a mended reader it becomes a row of the corpus.

#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/seeds.rs"]
mod seeds;
#[allow(unreachable_pub)] // the library of the same source hands it out
#[path = "../fuzz/targets/mod.rs"]
mod targets;
#[path = "fuzz/tree.rs"]
mod tree;

use mutate::Mutator;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use targets::{PER_BYTE, TARGETS, Target};

/// A test for each target, so that they run side by side and by name.
macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test] fn $name() { survives(stringify!($name)); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

tests! {
    request_head response_head body url endpoint jwt token key_set password cel tokenizer json inspect policy sse eventstream coding meter cut strip
    translate_request translate_reply translate_stream translate_error guard_stream guard_text config prices account journal
    aws_profile google_key token_answer
}

/// Most of what the golden cases have is run only as it is mutated.
const SEEDS_AS_THEY_ARE: usize = 64;

#[test]
fn every_target_has_its_test_its_corpus_its_words_and_its_libfuzzer_program() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, NAMES.iter().copied().collect());
    let in_folder = |folder: &str, end: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.map(|name| name.strip_suffix(end).unwrap_or(&name).to_owned()).collect()
    };
    let owned: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(in_folder("fuzz/corpus", ""), owned, "fuzz/corpus");
    assert_eq!(in_folder("fuzz/fuzz_targets", ".rs"), owned, "fuzz/fuzz_targets");
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("its manifest");
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "no program {name}");
        assert!(!corpus(name).is_empty(), "an empty corpus: {name}");
        let program = root().join(format!("fuzz/fuzz_targets/{name}.rs"));
        let program = std::fs::read_to_string(program).expect("a program");
        assert!(program.contains(&format!("run(\"{name}\", data)")), "another target in {name}.rs");
    }
}

fn survives(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let corpus = corpus(name);
    let seeds = [corpus.clone(), seeds::of(name)].concat();
    if let Some(folder) = std::env::var_os("TOLLGATE_FUZZ_SEEDS") {
        write_seeds(&Path::new(&folder).join(name), &seeds);
    }
    let golden = seeds.iter().skip(corpus.len());
    let step = golden.len().div_ceil(SEEDS_AS_THEY_ARE).max(1);
    for input in corpus.iter().chain(golden.step_by(step)) {
        run(target, input, "as it is");
    }
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (seed, times) =
        (number("TOLLGATE_FUZZ_SEED").unwrap_or(1), number("TOLLGATE_FUZZ_TIMES").unwrap_or(1));
    let words = std::fs::read_to_string(root().join(format!("fuzz/words/{}.dict", target.words)));
    let mutator = Mutator::new(&seeds, mutate::words(&words.expect("its words")));
    for at in 0..target.inputs as u64 * times {
        run(target, &mutator.input(seed, at), &format!("seed {seed}, input {at}"));
    }
}

/// Runs a target and looks at the memory that it holds.
fn run(target: &Target, input: &[u8], which: &str) {
    let most = target.bytes_max + PER_BYTE * input.len() as u64;
    let measured = catch_unwind(AssertUnwindSafe(|| {
        let held = allocation_counter::measure(|| targets::run(target.name, input)).bytes_max;
        assert!(held <= most, "{held} bytes are held at once, of {most}");
    }));
    if measured.is_err() {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
        std::fs::write(&file, input).expect("a file that can be written");
        panic!("{} ({which}): {}\n{}", target.name, file.display(), input.escape_ascii());
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of a target's corpus, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = root().join("fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("a row")).collect()
}

fn write_seeds(folder: &Path, seeds: &[Vec<u8>]) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (at, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{at:04}")), seed).expect("a file that can be written");
    }
}
