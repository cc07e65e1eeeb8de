//! How a Claude model is to think, by what was asked and what its release takes.

use super::Claude;
use crate::llm::translate::Lost;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Effort, Maker, Request, Role, What};

/// The least `budget_tokens` that Anthropic accepts ("Building with extended thinking").
const BUDGET_MIN: u64 = 1024;

/// What becomes of the reasoning that was asked for.
pub(crate) enum Thinking {
    Unasked,
    /// At most so many tokens of it.
    Budget(u64),
    /// At the model's discretion, where it may think at all, at this effort.
    Adaptive {
        effort: Option<&'static str>,
        thinks: bool,
    },
}

impl Thinking {
    /// Anthropic refuses thinking when tool choice is forced; a budget that is not below `max_tokens`; and,
    /// except when adaptive, a tool loop whose calls come without the thinking that led to them.
    pub(crate) fn of(
        request: &Request<'_, '_>,
        claude: Claude,
        max_tokens: u64,
        lost: &mut Lost,
    ) -> Thinking {
        let asked = request.reasoning;
        let native = request.extra("thinking").is_some();
        // Where thinking is adaptive, the effort is that of all words, and may stand without any thinking ("Effort").
        let named = asked.effort.filter(|_| claude.thinks_adaptively());
        let effort = named.or(asked.effort()).filter(|effort| *effort != Effort::None);
        if native || (effort.is_none() && !asked.adaptive) {
            return Thinking::Unasked;
        }
        let forced = request.is_forced();
        if claude.thinks_adaptively() {
            let effort = effort.map(|effort| word(effort, claude));
            return Thinking::Adaptive { effort, thinks: !forced && !asked.is_off() };
        }
        let budget = asked.budget.filter(|_| asked.effort.is_none());
        let budget = budget.unwrap_or_else(|| effort.unwrap_or(Effort::Medium).budget());
        let budget = budget.min(max_tokens.saturating_sub(1));
        if budget < BUDGET_MIN || forced || is_tool_loop_without_thinking(request) {
            lost.add("reasoning_effort");
            return Thinking::Unasked;
        }
        Thinking::Budget(budget)
    }

    pub(crate) fn thinks(&self) -> bool {
        matches!(self, Thinking::Budget(_) | Thinking::Adaptive { thinks: true, .. })
    }

    pub(crate) fn effort(&self) -> Option<&'static str> {
        if let Thinking::Adaptive { effort, .. } = self { *effort } else { None }
    }

    /// Writes the member `thinking`, where there is one.
    pub(crate) fn write(&self, e: &mut Emit<'_>) {
        if self.thinks() {
            self.write_value(e.key("thinking"));
        }
    }

    /// Writes what the member `thinking` holds, of one that thinks.
    pub(crate) fn write_value(&self, e: &mut Emit<'_>) {
        match self {
            Thinking::Budget(budget) => e.object(|e| {
                e.key("type").str("enabled");
                e.key("budget_tokens").u64(*budget);
            }),
            Thinking::Adaptive { .. } | Thinking::Unasked => e.raw(r#"{"type":"adaptive"}"#),
        }
    }
}

/// The word of `output_config.effort`.
fn word(effort: Effort, claude: Claude) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::XHigh | Effort::Max if !claude.takes_highest_efforts() => "high",
        other => other.word(),
    }
}

/// Whether the conversation stands in a tool loop (tool calls after the last user message) whose calls come
/// without the thinking that Anthropic demands back when thinking is on.
fn is_tool_loop_without_thinking(request: &Request<'_, '_>) -> bool {
    request.turns.iter().fold(false, |without, turn| {
        let has = |is: fn(&What<'_, '_>) -> bool| turn.parts.iter().any(|part| is(&part.what));
        match turn.role {
            Role::User if has(|what| !matches!(what, What::Result { .. })) => false,
            Role::Assistant if has(|what| matches!(what, What::Call { .. })) => !has(knows),
            _ => without,
        }
    })
}

/// Whether it is a thought that may be given to Claude for its own.
pub(in crate::llm::translate) fn knows(what: &What<'_, '_>) -> bool {
    what.signed_by() == Some(Maker::Claude)
}
