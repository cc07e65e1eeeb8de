//! Formats that an operator gives to paths.

use crate::llm::Format;

/// Which format requests have whose path ends so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// The longest ending first.
    endings: Vec<(String, Format)>,
    /// Of every other path (`*`).
    other: Option<Format>,
}

impl Routes {
    /// Of pairs of an ending and a format; `*` is every path that has none of the endings. The lists of models of all three
    /// APIs are one: which it is, headers and path say.
    pub fn new(pairs: impl IntoIterator<Item = (String, Format)>) -> Routes {
        let (other, mut endings): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(ending, _)| ending == "*");
        endings.sort_by_key(|(ending, _)| std::cmp::Reverse(ending.len()));
        Routes { endings, other: other.first().map(|(_, format)| *format) }
    }

    /// How many endings are named.
    pub fn len(&self) -> usize {
        self.endings.len() + usize::from(self.other.is_some())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The format of requests to `target`, a path with its query; `None` where the path itself says it.
    pub fn of(&self, target: &[u8]) -> Option<Format> {
        if self.is_empty() {
            return None;
        }
        let path = target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
        let named = self.endings.iter().find(|(ending, _)| path.ends_with(ending.as_bytes()));
        named.map(|(_, format)| *format).or(self.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::{AnthropicMessages, OpenAiChat, OpenAiEmbeddings, OpenAiResponses};

    #[test]
    fn the_longest_ending_counts_and_the_star_is_last() {
        let pair = |(ending, format): (&str, Format)| (ending.to_owned(), format);
        let some = [("/a", OpenAiChat), ("/b/a", AnthropicMessages)].map(pair);
        let all = [("*", OpenAiResponses), ("/a", OpenAiEmbeddings)].map(pair);
        for (routes, target, expect) in [
            (Routes::new(some.clone()), "/x/a", Some(OpenAiChat)),
            (Routes::new(some.clone()), "/b/a?q=/c", Some(AnthropicMessages)),
            (Routes::new(some), "/x?q=/a", None),
            (Routes::new(all.clone()), "/a", Some(OpenAiEmbeddings)),
            (Routes::new(all), "/b", Some(OpenAiResponses)),
            (Routes::default(), "/a", None),
        ] {
            assert_eq!(routes.of(target.as_bytes()), expect, "{target}");
        }
    }
}
