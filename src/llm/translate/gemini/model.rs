//! What a Gemini model takes, by the version in its name.
//!
//! A cut-off by version, not a list of names, so that a model of tomorrow is treated like the newest of today. A name
//! without a version (`gemini-flash-latest`, a tuned model's endpoint) may be any: it is told only what all take.

/// A model, as its name tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gemini {
    version: Option<(u32, u32)>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pro,
    Lite,
    /// Makes images.
    Image,
    Other,
}

/// What a model does with thinking (Gemini API, "Thinking").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinks {
    /// It does not, and refuses to hear of it.
    Never,
    /// As many tokens as it is told: at least, at most. It can be told not to where `off`.
    Tokens { least: u64, most: u64, off: bool },
    /// By a word: the lowest that it knows, and whether it knows the one between low and high.
    Levels { least: &'static str, medium: bool },
}

impl Gemini {
    /// Reads names with whatever stands before them: `gemini-2.5-flash-lite`, `models/gemini-3-pro-preview`,
    /// `google/gemini-3.1-pro`.
    pub(super) fn of(model: &str) -> Gemini {
        let name = model.rsplit_once("gemini-").map_or("", |(_, name)| name);
        let number = |word: &str| word.parse().ok().filter(|_| word.len() <= 2);
        let mut words = name.split('-').next().unwrap_or_default().split('.');
        let major = words.next().and_then(number);
        let version = major.map(|major| (major, words.next().and_then(number).unwrap_or(0)));
        let says = |word: &str| name.split('-').any(|one| one == word);
        let kind = match () {
            () if says("image") => Kind::Image,
            () if says("lite") => Kind::Lite,
            () if says("pro") => Kind::Pro,
            () => Kind::Other,
        };
        Gemini { version, kind }
    }

    /// The ranges of tokens are those of "Thinking budgets", the words those of "Thinking levels".
    pub(super) fn thinks(self) -> Thinks {
        match (self.version, self.kind) {
            (Some(version), Kind::Pro) if version >= (3, 0) => {
                Thinks::Levels { least: "LOW", medium: version > (3, 0) }
            }
            (Some(version), _) if version >= (3, 0) => Thinks::Levels { least: "MINIMAL", medium: true },
            (Some(version), kind) if version < (2, 5) || kind == Kind::Image => Thinks::Never,
            (Some(_), Kind::Pro) => Thinks::Tokens { least: 128, most: 32_768, off: false },
            (_, Kind::Lite) => Thinks::Tokens { least: 512, most: 24_576, off: true },
            _ => Thinks::Tokens { least: 128, most: 24_576, off: true },
        }
    }

    /// Since Gemini 3 a call without the signature of the thought that led to it is refused ("Thought signatures").
    pub(super) fn demands_signatures(self) -> bool {
        self.version.is_none_or(|version| version >= (3, 0))
    }

    /// Since Gemini 3 the result of a tool may hold media ("Multimodal function responses").
    pub(super) fn takes_media_from_tools(self) -> bool {
        self.version.is_some_and(|version| version >= (3, 0))
    }

    /// Before Gemini 3 an answer in JSON is refused beside tools ("Structured outputs with tools").
    pub(super) fn takes_shape_beside_tools(self) -> bool {
        self.version.is_none_or(|version| version >= (3, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        let flash = Thinks::Tokens { least: 128, most: 24_576, off: true };
        for (model, version, thinks) in [
            ("gemini-2.5-pro", Some((2, 5)), Thinks::Tokens { least: 128, most: 32_768, off: false }),
            ("gemini-2.5-flash", Some((2, 5)), flash),
            (
                "models/gemini-2.5-flash-lite-preview-06-17",
                Some((2, 5)),
                Thinks::Tokens { least: 512, most: 24_576, off: true },
            ),
            ("gemini-2.5-flash-image", Some((2, 5)), Thinks::Never),
            ("gemini-2.0-flash-001", Some((2, 0)), Thinks::Never),
            ("gemini-1.5-pro-002", Some((1, 5)), Thinks::Never),
            ("gemini-3-pro-preview", Some((3, 0)), Thinks::Levels { least: "LOW", medium: false }),
            ("google/gemini-3.1-pro-preview", Some((3, 1)), Thinks::Levels { least: "LOW", medium: true }),
            ("gemini-3-flash-preview", Some((3, 0)), Thinks::Levels { least: "MINIMAL", medium: true }),
            ("gemini-3.1-flash-lite", Some((3, 1)), Thinks::Levels { least: "MINIMAL", medium: true }),
            ("gemini-flash-latest", None, flash),
            ("gemma-3-27b-it", None, flash),
            ("1234567890", None, flash),
            ("", None, flash),
        ] {
            let gemini = Gemini::of(model);
            assert_eq!((gemini.version, gemini.thinks()), (version, thinks), "{model}");
        }
    }
}
