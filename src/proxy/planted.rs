//! Faults of our own, planted by a header of the request. Tests of the library alone are built with this: no program is.

use super::entry::Entry;
use crate::runtime::executor;
use crate::wire::http1::RequestHead;

/// The header that asks for one.
const HEADER: &[u8] = b"x-planted";

/// Notes in its books what the request asks for.
pub(super) fn note(entry: &mut Entry, head: &RequestHead, bytes: &[u8]) {
    let asked = head.headers.get(bytes, HEADER).map(|span| span.of(bytes)).unwrap_or_default();
    entry.planted = String::from_utf8_lossy(asked).into_owned();
}

/// Does what was asked for at this `place` of the request's way: `panic-PLACE` panics, `worker-PLACE` fails the worker as
/// a ring does that does not work any more, `OPERATION:ERROR-PLACE` has the worker's next operation of that kind fail with the
/// error of that number.
pub(super) fn strike(place: &str, entry: &Entry) {
    match entry.planted.split_once('-') {
        Some(("panic", at)) if at == place => panic!("planted"),
        Some(("worker", at)) if at == place => executor::fail("planted".to_owned()),
        Some((fails, at)) if at == place => {
            let (operation, error) = fails.split_once(':').expect("an operation and an error");
            entry.worker.ring.plant(operation, error.parse().expect("the number of an error"));
        }
        _ => {}
    }
}
