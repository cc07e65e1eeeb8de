//! Labels of namespaces, and `LabelSelector`, which chooses among them.

use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};

/// The label that Kubernetes gives every namespace: its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A `LabelSelector`: everything in it must hold. An empty one takes every namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

const OPERATORS: [(&str, Operator); 4] = [
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("Exists", Operator::Exists),
    ("DoesNotExist", Operator::DoesNotExist),
];

/// The most expressions of a selector and the most values of one; ours.
const TERMS_MAX: usize = 64;

impl Selector {
    /// Whether the namespace `name`, which has `labels`, is chosen. As in Kubernetes, `NotIn` also takes one that lacks
    /// the label.
    pub(crate) fn takes(&self, name: &str, labels: &[(String, String)]) -> bool {
        let value = |key: &str| match key {
            NAME_LABEL => Some(name),
            _ => labels.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str()),
        };
        self.terms.iter().all(|term| {
            let is_one = value(&term.key).is_some_and(|value| term.values.iter().any(|one| one == value));
            match term.operator {
                Operator::In => is_one,
                Operator::NotIn => !is_one,
                Operator::Exists => value(&term.key).is_some(),
                Operator::DoesNotExist => value(&term.key).is_none(),
            }
        })
    }
}

pub(crate) fn selector(field: &Cursor<'_>) -> Option<Selector> {
    field.fields(|fields| {
        let labels = fields.get("matchLabels").map(|field| field.entries()).unwrap_or_default();
        let term = |(key, value): (Located<String>, Cursor<'_>)| {
            let values = vec![value.text()?.value];
            Some(Term { key: key.value, operator: Operator::In, values })
        };
        let mut terms: Vec<Term> = labels.into_iter().filter_map(term).collect();
        terms.extend(fields.list("matchExpressions", TERMS_MAX, |item| item.fields(expression)));
        Some(Selector { terms })
    })
}

fn expression(fields: &mut Fields<'_>) -> Option<Term> {
    let key = fields.need("key").and_then(|field| field.word());
    let operator = fields.need("operator").and_then(|field| field.one_of(&OPERATORS));
    let values = fields.list("values", TERMS_MAX, |item| item.text().map(|text| text.value));
    let operator = operator?.value;
    let wants_values = matches!(operator, Operator::In | Operator::NotIn);
    if wants_values == values.is_empty() {
        let (message, help) = match wants_values {
            true => ("the expression lacks values", "write values: [...], or operator: Exists"),
            false => ("Exists and DoesNotExist have no values", "remove values, or write operator: In"),
        };
        fields.faults().fault_with_help(fields.at(), message, help);
    }
    Some(Term { key: key?.value, operator, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_a_selector_must_hold() {
        let labels = [("team".to_owned(), "red".to_owned()), ("edge".to_owned(), String::new())];
        let term = |key: &str, operator, values: &[&str]| Term {
            key: key.into(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        for (terms, takes) in [
            (vec![], true),
            (vec![term("team", Operator::In, &["blue", "red"])], true),
            (vec![term("team", Operator::In, &["blue"])], false),
            (vec![term("other", Operator::In, &["red"])], false),
            (vec![term("team", Operator::NotIn, &["red"])], false),
            (vec![term("other", Operator::NotIn, &["red"])], true),
            (vec![term("edge", Operator::Exists, &[])], true),
            (vec![term("other", Operator::Exists, &[])], false),
            (vec![term("other", Operator::DoesNotExist, &[])], true),
            (vec![term("edge", Operator::DoesNotExist, &[])], false),
            (vec![term(NAME_LABEL, Operator::In, &["apps"])], true),
            (vec![term("team", Operator::In, &["red"]), term("edge", Operator::In, &["x"])], false),
        ] {
            let selector = Selector { terms };
            assert_eq!(selector.takes("apps", &labels), takes, "{selector:?}");
        }
    }
}
