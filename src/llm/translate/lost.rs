use arrayvec::ArrayVec;

pub use crate::base::LOSSES;

/// What the target format could not carry, by name: each name of [`LOSSES`] once, at most 24 of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    names: ArrayVec<&'static str, 24>,
}

impl Lost {
    /// The names, in the order in which they were met.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Whether everything was carried over.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn add(&mut self, name: &'static str) {
        debug_assert!(LOSSES.contains(&name), "{name} is not listed");
        if !self.names.contains(&name) {
            let _ = self.names.try_push(name); // names beyond the bound add nothing that a metric shows
        }
    }
}
