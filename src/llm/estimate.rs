//! Tokens guessed from bytes, where a provider's count is not there yet or never comes.
//!
//! These are estimates: they reserve credit before a request and stand in for a usage that no provider reported. The
//! ratio of bytes to tokens is an argument, because it differs by model and language and is learned from real usage.

use crate::base::Tokens;

/// Bytes of text per 1000 tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// At least 1; 4000 is four bytes per token.
    pub bytes_per_1000_tokens: u32,
}

impl Ratio {
    /// Four bytes per token, OpenAI's rule of thumb for English text ("What are tokens and how to count them?").
    pub const DEFAULT: Ratio = Ratio { bytes_per_1000_tokens: 4000 };

    /// Tokens in `bytes` of text, rounded up.
    pub fn tokens(self, bytes: u64) -> Tokens {
        let per_1000 = u128::from(self.bytes_per_1000_tokens.max(1));
        let tokens = (u128::from(bytes) * 1000).div_ceil(per_1000);
        Tokens::try_from(tokens).unwrap_or(Tokens::MAX)
    }
}

impl Default for Ratio {
    fn default() -> Ratio {
        Ratio::DEFAULT
    }
}

/// Tokens that a provider adds to every conversation for its own marks: 3 per message and 3 to prime the answer in
/// OpenAI's cookbook ("How to count tokens with tiktoken"). The text of roles and types, which is counted as text,
/// covers the marks of further messages.
pub const OVERHEAD_TOKENS: Tokens = 8;

/// Bytes of base64 media per token.
///
/// Anthropic counts width x height / 750 tokens for an image ("Vision", token costs), OpenAI 85 to about 1100. A photo
/// of one megapixel is some 1300 tokens and about 270 KiB in base64.
pub const MEDIA_BYTES_PER_TOKEN: u64 = 200;

/// Input tokens of a request that holds so many bytes of text and of media in base64.
pub fn input_tokens(text_bytes: u64, media_bytes: u64, ratio: Ratio) -> Tokens {
    ratio
        .tokens(text_bytes)
        .saturating_add(media_bytes.div_ceil(MEDIA_BYTES_PER_TOKEN))
        .saturating_add(OVERHEAD_TOKENS)
}

/// Output tokens of an answer whose text has so many bytes.
pub fn output_tokens(text_bytes: u64, ratio: Ratio) -> Tokens {
    ratio.tokens(text_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_round_up_and_saturate() {
        let three = Ratio { bytes_per_1000_tokens: 3000 };
        let rows = [
            (0, 0, Ratio::DEFAULT, OVERHEAD_TOKENS),
            (1, 0, Ratio::DEFAULT, OVERHEAD_TOKENS + 1),
            (400, 0, Ratio::DEFAULT, OVERHEAD_TOKENS + 100),
            (400, 1, Ratio::DEFAULT, OVERHEAD_TOKENS + 101),
            (400, 0, three, OVERHEAD_TOKENS + 134),
            (u64::MAX, u64::MAX, Ratio { bytes_per_1000_tokens: 0 }, u64::MAX),
        ];
        for (text, media, ratio, tokens) in rows {
            assert_eq!(input_tokens(text, media, ratio), tokens, "{text} {media} {ratio:?}");
        }
        assert_eq!(output_tokens(9, Ratio::DEFAULT), 3);
    }
}
