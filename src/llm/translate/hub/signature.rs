/// Who made a signature, or encrypted a thought. Nobody else can read it, and most refuse a request that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    /// Claude, whoever hosts it: its signatures are good at all of them (Anthropic, "Extended thinking").
    Claude,
    Gemini,
    /// OpenAI, and who else speaks its responses.
    OpenAi,
    /// A model of Bedrock's that is not Claude.
    Bedrock,
}

impl Maker {
    const ALL: [Maker; 4] = [Maker::Claude, Maker::Gemini, Maker::OpenAi, Maker::Bedrock];

    /// Its name in marks.
    const fn word(self) -> &'static str {
        match self {
            Maker::Claude => "claude",
            Maker::Gemini => "gemini",
            Maker::OpenAi => "openai",
            Maker::Bedrock => "bedrock",
        }
    }
}

/// By what a provider knows its own thought again; or the thought itself, encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature<'b> {
    pub(crate) by: Maker,
    /// Empty when there is none.
    pub(crate) text: &'b str,
}

/// Between a mark and what it marks. The letters of base64, which signatures are, have no colon.
const COLON: &str = ":";

impl<'b> Signature<'b> {
    /// None.
    pub(crate) const NONE: Signature<'static> = Signature { by: Maker::Claude, text: "" };

    /// As a format of clients holds it: behind the mark of its maker, or bare, as `bare` gives it to clients of its own.
    pub(crate) fn marked(text: &'b str, bare: Maker) -> Signature<'b> {
        let marked = |by: Maker| {
            let text = text.strip_prefix(by.word())?.strip_prefix(COLON)?;
            Some(Signature { by, text })
        };
        Maker::ALL.into_iter().find_map(marked).unwrap_or(Signature { by: bare, text })
    }

    /// What [`marked`](Signature::marked) reads.
    pub(crate) fn with_mark(self, bare: Maker) -> [&'b str; 3] {
        match self.by == bare || self.is_empty() {
            true => ["", "", self.text],
            false => [self.by.word(), COLON, self.text],
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.text.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_the_maker_and_none_the_formats_own() {
        for bare in Maker::ALL {
            for by in Maker::ALL {
                let signature = Signature { by, text: "EqQB+/==" };
                let written = signature.with_mark(bare).concat();
                assert_eq!(written.contains(COLON), by != bare, "{written}");
                assert_eq!(Signature::marked(&written, bare), signature, "{written}");
            }
            assert!(Signature::marked("", bare).is_empty());
            assert_eq!(Signature::marked("somebody:x", bare), Signature { by: bare, text: "somebody:x" });
        }
        assert_eq!(Signature::NONE.with_mark(Maker::OpenAi), ["", "", ""]);
    }
}
