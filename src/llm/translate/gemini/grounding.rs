//! What an answer is based on: `groundingMetadata` and `citationMetadata`, whose places are bytes of UTF-8, while all
//! other formats count characters.

use super::names;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::Citation;
use crate::llm::translate::read::Value;

/// The most citations of an answer that are followed; Google gives some dozens.
pub(super) const CITATIONS_MAX: usize = 256;

/// The longest address that is handed on, in bytes, and as much of a title or a quotation.
const WORDS_MAX: usize = 4096;

/// How much text is measured, in bytes. It costs a bit for each.
const MEASURED_MAX: usize = 1 << 20;

/// Knows where the characters of a text begin, and not the text.
#[derive(Default)]
pub(super) struct Ruler {
    /// A bit for each byte that begins a character.
    starts: Vec<u64>,
    bytes: u64,
}

impl Ruler {
    pub(super) fn add(&mut self, text: &str) {
        let left = (MEASURED_MAX as u64).saturating_sub(self.bytes);
        let measured = text.bytes().take(usize::try_from(left).unwrap_or(MEASURED_MAX));
        for (at, byte) in (self.bytes..).zip(measured) {
            if at.is_multiple_of(64) {
                self.starts.push(0);
            }
            let begins = byte & 0xc0 != 0x80; // not a continuation byte (RFC 3629)
            if let Some(word) = self.starts.last_mut().filter(|_| begins) {
                *word |= 1 << (at % 64);
            }
        }
        self.bytes += text.len() as u64;
    }

    /// How long the text is, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many characters begin before byte `at`; `None` beyond what is measured.
    pub(super) fn chars(&self, at: u64) -> Option<u64> {
        let (words, bits) = (usize::try_from(at / 64).ok()?, at % 64);
        let whole = self.starts.get(..words)?;
        let part = self.starts.get(words).map_or(0, |word| word & ((1 << bits) - 1));
        let within = at <= self.bytes.min(MEASURED_MAX as u64);
        let counted = whole.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        within.then(|| counted + u64::from(part.count_ones()))
    }

    /// The byte at which character `nth` begins, or the end of the text right after the last; `None` beyond.
    pub(super) fn byte(&self, nth: u64) -> Option<u64> {
        let mut left = nth;
        for (index, word) in self.starts.iter().enumerate() {
            let here = u64::from(word.count_ones());
            if left >= here {
                left -= here;
                continue;
            }
            let mut word = *word;
            for _ in 0..left {
                word &= word - 1; // the lowest bit goes
            }
            return Some(index as u64 * 64 + u64::from(word.trailing_zeros()));
        }
        (left == 0 && self.bytes <= MEASURED_MAX as u64).then_some(self.bytes)
    }
}

/// Reads what a candidate is based on. Places are characters of all its text together; `before` tells how many bytes
/// of text stand before a part, by the part's index.
pub(super) fn read<'b>(
    candidate: Value<'_, 'b>,
    text: &Ruler,
    before: impl Fn(u64) -> u64,
) -> Vec<Citation<'b>> {
    let grounding = names::get(candidate, "groundingMetadata");
    let each = |name: &'static str| grounding.into_iter().flat_map(move |given| names::each(given, name));
    let pages: Vec<Option<Citation<'b>>> = each("groundingChunks").take(CITATIONS_MAX).map(page).collect();
    let mut cited = Vec::new();
    for support in each("groundingSupports").take(CITATIONS_MAX) {
        let segment = names::get(support, "segment");
        let place = |name: &str| segment.and_then(|segment| names::get(segment, name)?.u64());
        let span = place("endIndex").and_then(|end| {
            let base = before(place("partIndex").unwrap_or_default());
            let start = text.chars(base.saturating_add(place("startIndex").unwrap_or_default()))?;
            Some((start, text.chars(base.saturating_add(end))?)).filter(|(start, end)| start <= end)
        });
        let quote = clip(segment.map_or("", |segment| names::text(segment, "text")));
        let indices = names::get(support, "groundingChunkIndices").into_iter().flat_map(Value::elements);
        for index in indices.filter_map(Value::u64).take(CITATIONS_MAX - cited.len()) {
            let page = usize::try_from(index).ok().and_then(|index| pages.get(index).copied().flatten());
            cited.extend(page.map(|page| Citation { quote, span, ..page }));
        }
    }
    if cited.is_empty() {
        cited.extend(pages.into_iter().flatten());
    }
    cited.extend(recited(candidate, text).take(CITATIONS_MAX - cited.len()));
    cited
}

/// A page that other formats cite: with an address, which is not too long, and with as much of its title.
pub(super) fn cited_page<'b>(page: &Citation<'b>) -> Option<(&'b str, &'b str)> {
    let fits = !page.url.is_empty() && page.url.len() <= WORDS_MAX;
    fits.then(|| (page.url, clip(page.title)))
}

/// A page or a document that was found; one without an address cannot be cited.
fn page<'b>(chunk: Value<'_, 'b>) -> Option<Citation<'b>> {
    let found = ["web", "retrievedContext", "maps"].iter().find_map(|name| names::get(chunk, name))?;
    address(found).map(|url| Citation {
        url,
        title: clip(names::text(found, "title")),
        ..Citation::default()
    })
}

fn address<'b>(found: Value<'_, 'b>) -> Option<&'b str> {
    Some(names::text(found, "uri")).filter(|uri| !uri.is_empty() && uri.len() <= WORDS_MAX)
}

/// Where the answer repeats what was written elsewhere. Vertex AI and the Gemini API call the list differently.
fn recited<'b>(candidate: Value<'_, 'b>, text: &Ruler) -> impl Iterator<Item = Citation<'b>> {
    let given = names::get(candidate, "citationMetadata").into_iter();
    let sources =
        given.flat_map(|given| ["citations", "citationSources"].map(|name| names::each(given, name)));
    sources.flatten().filter_map(|source| {
        let place = |name: &str| names::get(source, name).and_then(Value::u64);
        let start = text.chars(place("startIndex").unwrap_or_default());
        let end = place("endIndex").and_then(|end| text.chars(end));
        let span = start.zip(end).filter(|(start, end)| start <= end);
        let title = clip(names::text(source, "title"));
        address(source).map(|url| Citation { url, title, quote: "", span })
    })
}

fn clip(words: &str) -> &str {
    words.get(..words.floor_char_boundary(WORDS_MAX)).unwrap_or_default()
}

/// A place in the answer and what it is based on.
pub(super) struct Cited<'c> {
    pub(super) url: &'c str,
    pub(super) title: &'c str,
    /// The index of the part.
    pub(super) part: usize,
    /// Bytes of the part, first and one past the last.
    pub(super) start: u64,
    pub(super) end: u64,
    /// The words there; empty when they are not known any more.
    pub(super) text: &'c str,
}

/// Writes the member `groundingMetadata`; nothing when nothing is cited.
pub(super) fn write(cited: &[Cited<'_>], e: &mut Emit<'_>) {
    if cited.is_empty() {
        return;
    }
    let mut pages: Vec<(&str, &str)> = Vec::new();
    let mut indices = Vec::new();
    for one in cited {
        let known = pages.iter().position(|(url, _)| *url == one.url);
        indices.push(known.unwrap_or(pages.len()) as u64);
        if known.is_none() {
            pages.push((one.url, one.title));
        }
    }
    e.key("groundingMetadata").object(|e| {
        e.key("groundingChunks").array(|e| {
            for (url, title) in &pages {
                e.object(|e| {
                    e.key("web").object(|e| {
                        e.key("uri").str(url);
                        e.key("title").str(title);
                    });
                });
            }
        });
        e.key("groundingSupports").array(|e| {
            cited.iter().zip(indices).for_each(|(one, index)| write_support(one, index, e));
        });
    });
}

fn write_support(one: &Cited<'_>, index: u64, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("segment").object(|e| {
            if one.part > 0 {
                e.key("partIndex").u64(one.part as u64);
            }
            e.key("startIndex").u64(one.start);
            e.key("endIndex").u64(one.end);
            if !one.text.is_empty() {
                e.key("text").str(one.text);
            }
        });
        e.key("groundingChunkIndices").array(|e| e.u64(index));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_and_characters_are_told_apart(pieces in prop::collection::vec(".{0,40}", 0..8)) {
            let mut ruler = Ruler::default();
            pieces.iter().for_each(|piece| ruler.add(piece));
            let text = pieces.concat();
            for (nth, (at, _)) in text.char_indices().chain([(text.len(), ' ')]).enumerate() {
                prop_assert_eq!(ruler.chars(at as u64), Some(nth as u64));
                prop_assert_eq!(ruler.byte(nth as u64), Some(at as u64));
            }
            prop_assert_eq!(ruler.chars(text.len() as u64 + 1), None);
            prop_assert_eq!(ruler.byte(text.chars().count() as u64 + 1), None);
        }
    }

    #[test]
    fn what_is_measured_is_bounded() {
        let mut ruler = Ruler::default();
        ruler.add(&"x".repeat(MEASURED_MAX + 10));
        assert_eq!((ruler.starts.len(), ruler.bytes()), (MEASURED_MAX / 64, MEASURED_MAX as u64 + 10));
        assert_eq!(ruler.chars(MEASURED_MAX as u64), Some(MEASURED_MAX as u64));
        assert_eq!((ruler.chars(MEASURED_MAX as u64 + 1), ruler.byte(MEASURED_MAX as u64)), (None, None));
    }
}
