use crate::telemetry::{Outcome, Payee, PriceSource, Record};
use arrayvec::ArrayString;
use std::collections::HashSet;

/// The most models that are told of by name. A client may name any.
const TOLD_MAX: usize = 256;

/// Tells of models that have no price, of each once.
#[derive(Default)]
pub(super) struct Unpriced {
    told: HashSet<(Payee, ArrayString<64>)>,
}

impl Unpriced {
    /// The sentence for the operator, if `record` is of a model that has no price and that was not told of yet.
    pub(super) fn look_at(&mut self, record: &Record) -> Option<String> {
        let priced = record.price.filter(|price| price.source != PriceSource::Listed)?;
        let (payee, model) = (priced.payee, record.model_used);
        if self.told.len() > TOLD_MAX || !self.told.insert((payee, model)) {
            return None;
        }
        if self.told.len() > TOLD_MAX {
            let sentence = "warning: more models have no price than are told of; tollgate_price_unknown_total counts \
                            their requests";
            return Some(sentence.into());
        }
        let what = match (priced.source, record.outcome == Outcome::Refused) {
            (PriceSource::Default, _) => "costs what prices.unknownModel says",
            (_, true) => "is refused",
            (_, false) => "counts no money",
        };
        let backend = record.backend.get().unwrap_or("none");
        let at = payee.name();
        Some(format!(
            "warning: the model {model:?} has no price at {at} (Backend {backend}) and {what}; give it a row of a Prices \
             resource"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Priced;
    use crate::telemetry::record::bounded;

    fn record(model: &str, source: PriceSource, outcome: Outcome) -> Record {
        let mut record = Record::begun(0, 0, ([127, 0, 0, 1], 1).into());
        record.backend.write(&"llm/local".into());
        record.model_used = bounded(model.as_bytes());
        record.price = Some(Priced { payee: Payee::named("openai"), source });
        record.outcome = outcome;
        record
    }

    #[test]
    fn each_model_is_told_of_once() {
        use Outcome::{Completed, Refused};
        use PriceSource::{Default, Listed, Unknown};
        let mut unpriced = Unpriced::default();
        for (model, source, outcome, said) in [
            ("gpt-5", Listed, Completed, None),
            (
                "llama",
                Unknown,
                Completed,
                Some("\"llama\" has no price at openai (Backend llm/local) and counts no money"),
            ),
            ("llama", Unknown, Completed, None),
            (
                "qwen",
                Unknown,
                Refused,
                Some("\"qwen\" has no price at openai (Backend llm/local) and is refused"),
            ),
            (
                "phi",
                Default,
                Completed,
                Some("\"phi\" has no price at openai (Backend llm/local) and costs what"),
            ),
            ("a\u{1b}[2J", Unknown, Completed, Some("\"a\\u{1b}[2J\"")),
        ] {
            let sentence = unpriced.look_at(&record(model, source, outcome));
            assert_eq!(sentence.is_some(), said.is_some(), "{model}");
            assert!(sentence.unwrap_or_default().contains(said.unwrap_or_default()), "{model}");
        }
        assert_eq!(unpriced.look_at(&Record::begun(0, 0, ([127, 0, 0, 1], 1).into())), None);
    }

    #[test]
    fn invented_names_are_told_of_up_to_a_bound() {
        let mut unpriced = Unpriced::default();
        let names = (0..3 * TOLD_MAX).map(|number| format!("model-{number}"));
        let told: Vec<String> = names
            .filter_map(|name| unpriced.look_at(&record(&name, PriceSource::Unknown, Outcome::Completed)))
            .collect();
        assert_eq!(told.len(), TOLD_MAX + 1);
        assert!(told.last().is_some_and(|last| last.contains("more models have no price")));
        assert!(unpriced.told.len() <= TOLD_MAX + 1);
    }
}
