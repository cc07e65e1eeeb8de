//! What a Claude model takes, by the version in its name: a cut-off, not a list of names, so that a model of tomorrow
//! is treated like the newest of today.

/// The version of a Claude model; `None` when the name is no Claude's or has no version in it. Such a model is
/// treated like the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claude(Option<(u32, u32)>);

impl Claude {
    /// Reads names as Anthropic and its resellers write them: `claude-3-5-haiku-20241022`,
    /// `claude-opus-4-20250514`, `us.anthropic.claude-opus-4-6-v1`, `anthropic/claude-opus-4.7`, `claude-sonnet-5`.
    pub(crate) fn of(model: &str) -> Claude {
        let Some((_, rest)) = model.split_once("claude") else { return Claude(None) };
        // A date of eight digits is no part of a version.
        let number = |word: &str| word.parse().ok().filter(|_| word.len() <= 2);
        let mut words = rest.split(['-', '.', '_', ':', '@']).skip_while(|word| number(word).is_none());
        let major = words.next().and_then(number);
        Claude(major.map(|major| (major, words.next().and_then(number).unwrap_or(0))))
    }

    /// From 4.6 on (Anthropic, "Adaptive thinking"): `thinking: {type: adaptive}` with `output_config.effort`.
    /// Since 4.7 nothing else is taken; before 4.6 only a budget of tokens.
    pub(crate) fn thinks_adaptively(self) -> bool {
        self.0 >= Some((4, 6))
    }

    /// From 4.7 on the effort may be `xhigh`, and every model takes `max` ("Effort").
    pub(crate) fn takes_highest_efforts(self) -> bool {
        self.0 >= Some((4, 7))
    }

    /// From 4.5 on the answer and the arguments of calls can be held to a schema ("Structured outputs").
    pub(crate) fn takes_schemas(self) -> bool {
        self.is_since(4, 5)
    }

    /// Whether it is this release or a later one; for what is a host's rule and not Anthropic's.
    pub(crate) fn is_since(self, major: u32, minor: u32) -> bool {
        self.0 >= Some((major, minor))
    }

    /// Up to 4.6; later models refuse temperature, `top_p` and `top_k` ("What's new in Claude 4.7").
    pub(crate) fn takes_sampling(self) -> bool {
        self.0 < Some((4, 7))
    }

    /// Up to 4.0; later models refuse temperature next to `top_p`.
    pub(crate) fn takes_both_samplings(self) -> bool {
        self.0 < Some((4, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        for (model, version) in [
            ("claude-3-5-haiku-latest", Some((3, 5))),
            ("claude-3-opus-20240229", Some((3, 0))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("claude-sonnet-4-5-20250929", Some((4, 5))),
            ("claude-opus-4-1@20250805", Some((4, 1))),
            ("us.anthropic.claude-opus-4-6-v1:0", Some((4, 6))),
            ("anthropic/claude-opus-4.7", Some((4, 7))),
            ("claude-fable-5", Some((5, 0))),
            ("claude-opus-5-5", Some((5, 5))),
            ("claude-2.1", Some((2, 1))),
            ("claude-mythos-preview", None),
            ("glm-4-7", None),
            ("", None),
        ] {
            assert_eq!(Claude::of(model).0, version, "{model}");
        }
    }

    #[test]
    fn an_unknown_model_is_treated_like_the_oldest() {
        let unknown = Claude::of("house-model");
        assert!(unknown.takes_sampling() && unknown.takes_both_samplings() && !unknown.thinks_adaptively());
    }
}
