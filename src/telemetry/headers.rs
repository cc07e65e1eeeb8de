//! Headers that an operator wants to see in records, so that requests can be told apart as limits do it.

use super::record::bounded;
use arrayvec::ArrayString;
use std::ops::Deref;
use std::sync::Arc;

/// The most headers that records hold.
pub const HEADERS_MAX: usize = 4;
/// The most bytes of a value; what is longer is cut.
pub(super) const VALUE_MAX: usize = 128;

/// One header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name, in lower case.
    pub name: Arc<str>,
    /// The first value of that name; `None` when the request has none.
    pub value: Option<ArrayString<VALUE_MAX>>,
}

/// The headers of one exchange, in the order of the settings, at most [`HEADERS_MAX`]. As with names, what stands on the sheet
/// from before is used again, so that only the first exchange of a sheet makes room.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    list: Vec<Header>,
    used: usize,
}

impl Headers {
    /// No header.
    pub const fn none() -> Headers {
        Headers { list: Vec::new(), used: 0 }
    }

    /// Adds a header and its value; whether there was room.
    pub fn note(&mut self, name: &Arc<str>, value: Option<&[u8]>) -> bool {
        let value = value.map(bounded);
        if let Some(header) = self.list.get_mut(self.used) {
            header.value = value;
            if !Arc::ptr_eq(&header.name, name) {
                header.name = name.clone();
            }
        } else if self.list.len() < HEADERS_MAX {
            self.list.push(Header { name: name.clone(), value });
        } else {
            return false;
        }
        self.used += 1;
        true
    }

    /// Takes them away.
    pub fn erase(&mut self) {
        self.used = 0;
    }
}

impl Deref for Headers {
    type Target = [Header];

    fn deref(&self) -> &[Header] {
        self.list.get(..self.used).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_this_exchange() {
        let names: Vec<Arc<str>> = ["a", "b", "c", "d", "e"].into_iter().map(Arc::from).collect();
        let mut headers = Headers::none();
        for (count, value) in [(2, Some("x")), (1, None), (0, None), (5, Some("")), (3, Some("y"))] {
            headers.erase();
            for (n, name) in names.iter().take(count).enumerate() {
                assert_eq!(headers.note(name, value.map(str::as_bytes)), n < HEADERS_MAX);
            }
            let seen: Vec<_> = headers.iter().map(|h| (&*h.name, h.value.as_deref())).collect();
            let expected: Vec<_> = names.iter().take(count.min(HEADERS_MAX)).map(|n| (&**n, value)).collect();
            assert_eq!(seen, expected);
        }
        let long = "é".repeat(VALUE_MAX);
        headers.erase();
        headers.note(&names[0], Some(long.as_bytes()));
        assert_eq!(
            headers[0].value.map(|value| value.chars().count()),
            Some(VALUE_MAX / 2),
            "whole characters"
        );
    }
}
