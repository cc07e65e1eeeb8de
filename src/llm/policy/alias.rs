//! Other names of models.

/// Other names of models. An exact name goes before patterns, the longest of which wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    /// Sorted by name.
    exact: Vec<(String, String)>,
    /// The longest first.
    patterns: Vec<(String, String)>,
}

impl Aliases {
    /// Of pairs of an alias and the model that it stands for. In an alias `*` stands for any run of characters, an empty one
    /// too; of two that are equal the first counts.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Aliases {
        let (mut patterns, mut exact): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(alias, _)| alias.contains('*'));
        exact.sort_by(|a, b| a.0.cmp(&b.0));
        exact.dedup_by(|later, first| later.0 == first.0);
        patterns.sort_by_key(|(alias, _)| std::cmp::Reverse(alias.len()));
        Aliases { exact, patterns }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.patterns.len()
    }

    /// What `model` stands for; `None` when it is no alias. What an alias stands for is not looked up again.
    pub fn of(&self, model: &str) -> Option<&str> {
        let exact = self.exact.binary_search_by(|(alias, _)| alias.as_str().cmp(model)).ok();
        let found = exact.and_then(|at| self.exact.get(at));
        let found = found.or_else(|| self.patterns.iter().find(|(pattern, _)| matches(pattern, model)));
        found.map(|(_, model)| model.as_str())
    }
}

/// Whether `text` is `pattern` with a run of characters for each `*`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').map_or((None, rest), |(middle, last)| (Some(middle), last));
    for part in middle.into_iter().flat_map(|middle| middle.split('*')) {
        // The first place is as good as any later one: what follows has the more room.
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn aliases(pairs: &[(&str, &str)]) -> Aliases {
        Aliases::new(pairs.iter().map(|(alias, model)| ((*alias).to_owned(), (*model).to_owned())))
    }

    #[test]
    fn exact_names_go_first_then_the_longest_pattern() {
        let aliases = aliases(&[
            ("*", "any"),
            ("gpt-*", "gpt"),
            ("gpt-4*", "four"),
            ("*-mini", "small"),
            ("gpt-4o-mini", "exact"),
            ("gpt-4o-mini", "later"),
            ("any", "not again"),
            ("a*b*c", "abc"),
        ]);
        for (model, meant) in [
            ("gpt-4o-mini", "exact"),
            ("gpt-4o", "four"),
            ("gpt-5", "gpt"),
            ("o4-mini", "small"),
            ("claude", "any"),
            ("abc", "abc"),
            ("a-b-b-c", "abc"),
            ("acb", "any"),
            ("", "any"),
        ] {
            assert_eq!(aliases.of(model), Some(meant), "{model}");
        }
        assert_eq!(Aliases::default().of("x"), None);
    }

    proptest! {
        #[test]
        fn patterns_match_as_expressions_do(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            let oracle = regex::Regex::new(&format!("^{}$", pattern.replace('*', ".*"))).unwrap();
            prop_assert_eq!(matches(&pattern, &text), oracle.is_match(&text));
        }
    }
}
