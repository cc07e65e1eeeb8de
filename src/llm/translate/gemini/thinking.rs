//! How long a Gemini model is to think, by what was asked and what its release takes.

use super::model::{Gemini, Thinks};
use crate::llm::translate::Lost;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Effort, Reasoning};

/// `thinkingConfig`: what becomes of the reasoning that was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Thinking {
    length: Option<Length>,
    /// Whether what is thought shall be told, in summary.
    shown: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    /// So many tokens; none is as many as the model thinks best.
    Tokens(Option<u64>),
    Level(&'static str),
}

impl Thinking {
    pub(super) fn of(asked: Reasoning, gemini: Gemini, lost: &mut Lost) -> Thinking {
        let off = asked.is_off();
        let effort = asked.effort().filter(|effort| *effort != Effort::None);
        if !off && effort.is_none() && !asked.adaptive {
            // Nothing is asked but to be shown what a model that thinks by itself thinks.
            let shown = asked.shown == Some(true) && gemini.thinks() != Thinks::Never;
            return Thinking { length: None, shown };
        }
        let length = match gemini.thinks() {
            Thinks::Never => {
                if !off {
                    lost.add("reasoning_effort");
                }
                return Thinking::default();
            }
            Thinks::Levels { least, medium } => {
                if off {
                    lost.add("reasoning_effort"); // it thinks a little all the same
                }
                let level = effort.map(|effort| level(effort, least, medium));
                off.then_some(least).or(level).map(Length::Level)
            }
            Thinks::Tokens { least, off: can_be_off, .. } if off => {
                if !can_be_off {
                    lost.add("reasoning_effort");
                }
                Some(Length::Tokens(Some(if can_be_off { 0 } else { least })))
            }
            Thinks::Tokens { least, most, .. } => {
                let named = effort.map(|effort| tokens(effort, most));
                let budget = asked.budget.filter(|_| asked.effort.is_none()).or(named);
                Some(Length::Tokens(budget.map(|budget| budget.clamp(least, most))))
            }
        };
        Thinking { length, shown: asked.shown.unwrap_or(!off) }
    }

    /// Writes the member, where there is one.
    pub(super) fn write(&self, e: &mut Emit<'_>) {
        if *self == Thinking::default() {
            return;
        }
        e.key("thinkingConfig").object(|e| {
            match self.length {
                Some(Length::Tokens(Some(budget))) => e.key("thinkingBudget").u64(budget),
                Some(Length::Tokens(None)) => e.key("thinkingBudget").raw("-1"),
                Some(Length::Level(level)) => e.key("thinkingLevel").str(level),
                None => {}
            }
            if self.shown {
                e.key("includeThoughts").raw("true");
            }
        });
    }
}

/// As Google's own hosts read OpenAI's word (Gemini API, "OpenAI compatibility"): what lies between low and high is
/// high for a model that knows only the two.
fn level(effort: Effort, least: &'static str, medium: bool) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal => least,
        Effort::Low => "LOW",
        Effort::Medium if medium => "MEDIUM",
        Effort::Medium | Effort::High | Effort::XHigh | Effort::Max => "HIGH",
    }
}

/// The same table for the models that take tokens; whoever wants more than high gets the most.
fn tokens(effort: Effort, most: u64) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => 24_576,
        Effort::XHigh | Effort::Max => most,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_said_as_the_model_takes_it() {
        let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
        let budget =
            |budget| Reasoning { budget: Some(budget), shown: Some(budget > 0), ..Reasoning::default() };
        let adaptive = Reasoning { adaptive: true, shown: Some(true), ..Reasoning::default() };
        let shown = Reasoning { shown: Some(true), ..Reasoning::default() };
        let (flash, pro, three) = ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-flash");
        let lite = "gemini-2.5-flash-lite";
        let old = "gemini-2.0-flash";
        for (model, asked, written, lost) in [
            (flash, Reasoning::default(), "", false),
            (flash, effort(Effort::Low), r#""thinkingBudget":1024,"includeThoughts":true"#, false),
            (flash, effort(Effort::None), r#""thinkingBudget":0"#, false),
            (flash, effort(Effort::Max), r#""thinkingBudget":24576,"includeThoughts":true"#, false),
            (pro, effort(Effort::Max), r#""thinkingBudget":32768,"includeThoughts":true"#, false),
            (pro, effort(Effort::None), r#""thinkingBudget":128"#, true),
            (flash, budget(5000), r#""thinkingBudget":5000,"includeThoughts":true"#, false),
            (flash, budget(100_000), r#""thinkingBudget":24576,"includeThoughts":true"#, false),
            (lite, budget(100), r#""thinkingBudget":512,"includeThoughts":true"#, false),
            (flash, budget(0), r#""thinkingBudget":0"#, false),
            (flash, Reasoning { effort: Some(Effort::High), ..budget(0) }, r#""thinkingBudget":0"#, false),
            (flash, adaptive, r#""thinkingBudget":-1,"includeThoughts":true"#, false),
            (flash, shown, r#""includeThoughts":true"#, false),
            (three, effort(Effort::Minimal), r#""thinkingLevel":"MINIMAL","includeThoughts":true"#, false),
            (three, effort(Effort::Medium), r#""thinkingLevel":"MEDIUM","includeThoughts":true"#, false),
            (
                "gemini-3-pro",
                effort(Effort::Medium),
                r#""thinkingLevel":"HIGH","includeThoughts":true"#,
                false,
            ),
            ("gemini-3-pro", effort(Effort::None), r#""thinkingLevel":"LOW""#, true),
            (three, budget(3000), r#""thinkingLevel":"MEDIUM","includeThoughts":true"#, false),
            (three, adaptive, r#""includeThoughts":true"#, false),
            (old, effort(Effort::High), "", true),
            (old, effort(Effort::None), "", false),
            (old, shown, "", false),
        ] {
            let (mut out, mut named) = (Vec::new(), Lost::default());
            let thinking = Thinking::of(asked, Gemini::of(model), &mut named);
            Emit::new(&mut out).object(|e| thinking.write(e));
            let expected = match written {
                "" => "{}".to_owned(),
                members => format!(r#"{{"thinkingConfig":{{{members}}}}}"#),
            };
            assert_eq!(
                (std::str::from_utf8(&out).unwrap(), !named.is_empty()),
                (&*expected, lost),
                "{model}"
            );
        }
    }
}
