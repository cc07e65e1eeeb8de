//! The `tollgate` binary: see `tollgate::app`.

/// Thread-local by design, which is what a thread per core wants.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tollgate::app::main()
}
