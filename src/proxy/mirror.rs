//! Copies of requests that go to other hosts too (`RequestMirror`), whose answers are thrown away.
//!
//! A copy is made while the client's body arrives and sent once that is whole and the request was admitted, by a task
//! of its own: nothing waits for it, it is charged to nobody, and that it fails is counted and nothing else. What copies
//! may hold has bounds of its own; a request beyond them is served and not copied.

use super::admission;
use super::call::Heads;
use super::client::{Client, Message};
use super::entry::Entry;
use super::fault::Fault;
use super::plain::{self, To};
use super::serving::Serving;
use super::upstream::{Pool, Upstream};
use super::worker::{Open, Worker};
use crate::access::Identity;
use crate::base::Span;
use crate::config::{self, Rule};
use crate::route::filters::Filters;
use crate::runtime::{Gather, executor};
use crate::wire::http1::{BodyReader, Framing, Headers, Method, RequestHead, ResponseHead, write};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Copies that a worker may have in the making or under way.
const COPIES_MAX: u64 = 256;

/// Bytes of bodies that all copies of a worker hold together.
const BYTES_MAX: usize = 64 << 20;

/// How long a copy may take, from the connection to the end of its answer. Connecting has the bound of every other.
const WHOLE_MAX: Duration = Duration::from_secs(30);

/// Bytes of an answer's body that are read, so that its connection serves the next copy; of a longer one it is closed.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The copies of one request in the making. Dropped, none is sent.
pub(super) struct Copies {
    list: Vec<Copy>,
    method: Method,
    body: Vec<u8>,
    /// Whether the length of the body is said, though it be 0.
    has_body: bool,
}

/// One copy, and the room that it takes.
struct Copy {
    pool: Rc<Pool>,
    /// Without its framing.
    head: Vec<u8>,
    room: Room,
}

/// What a copy takes of the bounds, as long as it lives.
struct Room {
    worker: Rc<Worker>,
    bytes: usize,
    _open: Open,
}

impl Copies {
    /// The copies that are to be made of a request; `None` when there are none, which costs nothing. `decoded` says that
    /// its body comes without the coding that its head names.
    pub(super) fn of(
        serving: &Serving,
        (rule, share): (&Rule, &Filters),
        client: &Client,
        (head, bytes): (&RequestHead, &[u8]),
        identity: &Identity<'_>,
        decoded: bool,
        entry: &Entry,
    ) -> Option<Copies> {
        let mirrors = || rule.filters.mirrors.iter().chain(&share.mirrors);
        mirrors().next()?;
        let worker = &entry.worker;
        let target = plain::rewritten((&rule.filters, share), head, bytes, Vec::new());
        let target = admission::without_key(identity, target);
        let mut list = Vec::new();
        for mirror in mirrors().filter(|mirror| mirror.takes(worker.random())) {
            let backend = serving.in_force.snapshot.backends.get(mirror.target as usize)?;
            let pool = serving.pools.get(backend.target as usize)?.clone();
            let Some(room) = Room::of(worker) else {
                worker.desk.counters.mirrors_skipped.add(1);
                continue;
            };
            let mut lines = Vec::new();
            let to = To { rule, backend, edits: share, target: &target, identity };
            plain::head_lines(&to, client, (head, bytes), decoded, &mut lines);
            list.push(Copy { pool, head: lines, room });
        }
        let has_body = head.framing != Framing::None;
        (!list.is_empty()).then_some(Copies { list, method: head.method, body: Vec::new(), has_body })
    }

    /// The same of a request whose body is here, its coding undone.
    pub(super) fn whole(
        serving: &Serving,
        share: (&Rule, &Filters),
        client: &Client,
        (head, message): (&RequestHead, &Message),
        identity: &Identity<'_>,
        entry: &Entry,
    ) -> Option<Copies> {
        let mut copies = Copies::of(serving, share, client, (head, &message.bytes), identity, true, entry)?;
        copies.push(message.body.of(&message.bytes));
        Some(copies)
    }

    /// Takes more of the body. What has no room is not sent.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.list.is_empty() {
            return; // there was no room before, and nobody counts what would be kept now
        }
        if self.list.iter_mut().all(|copy| copy.room.grow(bytes.len())) {
            return self.body.extend_from_slice(bytes);
        }
        if let Some(first) = self.list.first() {
            first.room.worker.desk.counters.mirrors_skipped.add(self.list.len() as u64);
        }
        self.list.clear();
        self.body = Vec::new();
    }

    /// Sends the copies off: the body is whole.
    pub(super) fn send(self) {
        let Copies { list, method, mut body, has_body } = self;
        let mut left = list.len();
        for Copy { pool, mut head, room } in list {
            left -= 1;
            if has_body {
                write::content_length(&mut head, body.len() as u64);
            }
            write::end(&mut head);
            let body = if left == 0 { std::mem::take(&mut body) } else { body.clone() };
            let (ours, theirs) = (Span::new(0, head.len()), Span::new(0, body.len()));
            let mut gather = Gather::of(head, body);
            let fits = gather.push_ours(ours) && gather.push_theirs(theirs);
            debug_assert!(fits, "two pieces fit");
            executor::spawn(deliver(room, pool, gather, method), |_| {});
        }
    }
}

impl Room {
    fn of(worker: &Rc<Worker>) -> Option<Room> {
        if worker.desk.counters.mirrors_open.get() >= COPIES_MAX {
            return None;
        }
        let open = Open::count(&worker.desk, |counters| &counters.mirrors_open);
        Some(Room { worker: worker.clone(), bytes: 0, _open: open })
    }

    /// Whether there is room for so many bytes more, which are taken then.
    fn grow(&mut self, bytes: usize) -> bool {
        let all = self.worker.copied_bytes.get().saturating_add(bytes);
        let fits = all <= BYTES_MAX;
        if fits {
            self.worker.copied_bytes.set(all);
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let copied = &self.worker.copied_bytes;
        copied.set(copied.get().saturating_sub(self.bytes));
    }
}

async fn deliver(room: Room, pool: Rc<Pool>, gather: Gather, method: Method) {
    let worker = &room.worker;
    let counters = &worker.desk.counters;
    match exchange(worker, &pool, gather, method).await {
        Ok(()) => counters.mirrors_answered.add(1),
        Err(_) => counters.mirrors_failed.add(1),
    }
}

/// Sends a copy and reads its answer to the end, or as far as that is worth it.
async fn exchange(worker: &Rc<Worker>, pool: &Rc<Pool>, gather: Gather, method: Method) -> Result<(), Fault> {
    let last = worker.ring.now() + WHOLE_MAX;
    let serving = worker.serving();
    let bounds = &serving.in_force.snapshot.settings.upstream;
    let upstream = Upstream::checkout(worker, pool, true).await?;
    upstream.socket().set_deadline(last);
    upstream.start_send(gather).map_err(|_| Fault::Broken)?;
    let mut sent = false;
    let (head, mut bytes) = answer_head(&upstream, bounds, method, &mut sent).await?;
    let body = BodyReader::new(head.framing, u64::MAX).map_err(|f| Fault::ProviderMalformed(f.reason()))?;
    let mut body = body.held_to(bounds.chunks);
    let (mut at, mut read) = (head.len, 0);
    loop {
        let progress = body.read(bytes.get(at..).unwrap_or_default(), |_| {});
        let progress = progress.map_err(|fault| Fault::ProviderMalformed(fault.reason()))?;
        if progress.done {
            let is_over = at + progress.consumed == bytes.len();
            if sent && is_over && head.keep_alive && head.framing != Framing::UntilClose {
                upstream.give_back(worker);
            }
            return Ok(());
        }
        read += bytes.len() - at;
        if read > ANSWER_BYTES_MAX || worker.ring.now() >= last {
            return Ok(());
        }
        (at, bytes) = (0, emptied(bytes));
        match fill(&upstream, &mut bytes, &mut sent).await {
            Ok(0) => body.end_of_stream().map_err(|_| Fault::Cut)?,
            Ok(_) => {}
            Err(_) => return Err(Fault::Cut),
        }
    }
}

fn emptied(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.clear();
    bytes
}

async fn answer_head(
    upstream: &Upstream,
    bounds: &config::Upstream,
    method: Method,
    sent: &mut bool,
) -> Result<(ResponseHead, Vec<u8>), Fault> {
    let (mut heads, mut bytes) = (Heads::new(bounds, Headers::default()), Vec::new());
    loop {
        match fill(upstream, &mut bytes, sent).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(Fault::Broken),
        }
        if let Some(head) = heads.read(&mut bytes, method)? {
            return Ok((head, bytes));
        }
    }
}

/// More of the answer; whether the request has left is noted on the way.
async fn fill(upstream: &Upstream, bytes: &mut Vec<u8>, sent: &mut bool) -> io::Result<usize> {
    poll_fn(|cx| {
        if !*sent && let Poll::Ready((_, result)) = upstream.poll_sent_late(cx) {
            match result {
                Ok(()) => *sent = true,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        upstream.poll_fill(cx, bytes)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_no_room_keeps_nothing_of_what_follows() {
        let mut copies = Copies { list: Vec::new(), method: Method::Post, body: Vec::new(), has_body: true };
        copies.push(b"the rest of an upload");
        assert!(copies.body.is_empty());
    }
}
