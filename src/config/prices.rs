/// What a model's tokens cost, in nano-USD (10^-9 USD) per million tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceRow {
    /// `anthropic` or `openai`, as [`crate::llm::provider::Provider::name`] says.
    pub provider: String,
    /// A model's exact name, or the beginning of names when a `*` stands at its end.
    pub model: String,
    /// Input that was neither read from nor written to the provider's cache.
    pub input: u64,
    /// Input read from the provider's cache; equals `input` when the list states none.
    pub cached_input: u64,
    /// Input written to the provider's cache; equals `input` when the list states none.
    pub cache_write: u64,
    /// Output.
    pub output: u64,
}

impl PriceRow {
    /// Whether both are about the same models, so that one replaces the other.
    pub(crate) fn has_key_of(&self, other: &PriceRow) -> bool {
        (&self.provider, &self.model) == (&other.provider, &other.model)
    }
}

/// Joins lists in their order: a later row replaces an earlier one about the same models.
pub(crate) fn join(lists: impl Iterator<Item = Vec<PriceRow>>) -> Vec<PriceRow> {
    let mut joined: Vec<PriceRow> = Vec::new();
    for row in lists.flatten() {
        match joined.iter_mut().find(|known| known.has_key_of(&row)) {
            Some(known) => *known = row,
            None => joined.push(row),
        }
    }
    joined
}
