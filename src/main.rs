//! The `tollgate` binary: see `tollgate::app`.
fn main() {}
