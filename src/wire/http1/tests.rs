//! Tables of messages and what we make of them. Every row is read whole, byte by byte, cut at every position,
//! and with bytes of a next message behind it, and must come out the same.

mod bodies;
mod properties;
mod requests;
mod responses;
mod writing;

use super::*;

/// Reads a head in two pieces cut at every position, then byte by byte, and asserts that the outcome is
/// `expect` each time. `read` takes a scan and what has arrived, and gives `None` while it wants more.
fn check_cuts(head: &[u8], expect: &str, read: impl Fn(&mut HeadScan, &[u8]) -> Option<String>) {
    let shown = head.escape_ascii();
    assert_eq!(read(&mut HeadScan::default(), head).as_deref().unwrap_or("more"), expect, "whole: {shown}");
    for cut in 0..head.len() {
        let mut scan = HeadScan::default();
        let got = read(&mut scan, &head[..cut]).or_else(|| read(&mut scan, head));
        assert_eq!(got.as_deref().unwrap_or("more"), expect, "cut at {cut}: {shown}");
    }
    let mut scan = HeadScan::default();
    let got = (0..=head.len()).find_map(|arrived| read(&mut scan, &head[..arrived]));
    assert_eq!(got.as_deref().unwrap_or("more"), expect, "byte by byte: {shown}");
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn framing_text(framing: Framing) -> String {
    match framing {
        Framing::None => "none".into(),
        Framing::Length(length) => format!("length={length}"),
        Framing::Chunked => "chunked".into(),
        Framing::UntilClose => "until-close".into(),
    }
}
