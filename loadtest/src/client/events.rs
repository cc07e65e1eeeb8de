//! Server-sent events out of a body that comes in pieces.

use super::BODY_BYTES_MAX;

/// Splits a stream at the blank lines that end its events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// An event whose end has not come, and how much of it was searched.
    held: Vec<u8>,
    searched: usize,
}

impl Events {
    /// Hands every event that is complete to `each`, blank line included. An error of `each` ends it.
    pub(crate) fn eat<E>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<&'static str>,
    {
        if !self.held.is_empty() {
            let before = self.held.len();
            self.held.extend_from_slice(bytes);
            let Some(end) = end_of_event(&self.held, self.searched) else { return self.wait() };
            each(&self.held[..end])?;
            bytes = &bytes[end - before..];
            self.clear();
        }
        while let Some(end) = end_of_event(bytes, 0) {
            each(&bytes[..end])?;
            bytes = &bytes[end..];
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        self.wait()
    }

    /// Bytes of an event that has not ended.
    pub(crate) fn open(&self) -> usize {
        self.held.len()
    }

    /// Forgets it.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.searched = 0;
    }

    fn wait<E: From<&'static str>>(&mut self) -> Result<(), E> {
        // The last two bytes may be the beginning of the end.
        self.searched = self.held.len().saturating_sub(2);
        if self.held.len() > BODY_BYTES_MAX { Err("an event is too long".into()) } else { Ok(()) }
    }
}

/// The offset behind the first blank line; lines end with LF or CR LF.
fn end_of_event(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == b'\n')? + 1;
        match bytes.get(at..) {
            Some([b'\n', ..]) => return Some(at + 1),
            Some([b'\r', b'\n', ..]) => return Some(at + 2),
            _ => {}
        }
    }
}

/// The data of an event, its lines joined by LF; empty when it has none.
pub(crate) fn data(event: &[u8]) -> Vec<u8> {
    let lines = event.split(|&byte| byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let value = line.strip_prefix(b"data:")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    });
    lines.collect::<Vec<_>>().join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(wire: &[u8], size: usize) -> (Vec<String>, usize) {
        let (mut events, mut found) = (Events::default(), Vec::new());
        for piece in wire.chunks(size) {
            let each = |event: &[u8]| {
                found.push(String::from_utf8(data(event)).unwrap());
                Ok::<(), &'static str>(())
            };
            events.eat(piece, each).unwrap();
        }
        (found, events.open())
    }

    #[test]
    fn events_cut_anywhere() {
        let wire =
            b"data: one\n\n: comment\nevent: x\ndata: two\r\ndata:three\r\n\r\ndata: [DONE]\n\ndata: ha";
        for size in 1..=wire.len() {
            let (found, open) = split(wire, size);
            assert_eq!(found, ["one", "two\nthree", "[DONE]"], "by {size}");
            assert_eq!(open, "data: ha".len(), "by {size}");
        }
    }

    #[test]
    fn an_event_has_an_end() {
        let mut events = Events::default();
        let endless = vec![b'x'; BODY_BYTES_MAX + 1];
        assert_eq!(events.eat(&endless, |_| Ok::<(), &'static str>(())), Err("an event is too long"));
    }
}
