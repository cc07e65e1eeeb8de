//! What an operator has said of one account, beside what configuration says of its rule.

use super::Terms;
use std::sync::Arc;

/// Kept across restarts; the default says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Control {
    /// Whether all its requests are refused.
    pub blocked: bool,
    /// What it is allowed instead.
    pub terms: Option<Arc<Terms>>,
}
