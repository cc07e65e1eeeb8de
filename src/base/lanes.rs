//! Sixteen bytes looked at at once: what scanners spend their time on.

/// How many bytes are looked at at once.
pub const LANES: usize = 16;

/// A bit for each byte of `block` that is `byte`, the first byte's lowest.
#[inline]
pub fn equal(block: &[u8; LANES], byte: u8) -> u32 {
    by::equal(block, byte)
}

/// A bit for each byte of `block` that cannot stand in a JSON string as it is (RFC 8259 section 7): quote, backslash,
/// control characters. The first byte's bit is the lowest.
#[inline]
pub fn unquotable(block: &[u8; LANES]) -> u32 {
    by::unquotable(block)
}

/// Whether `byte` cannot stand in a JSON string as it is.
pub const fn is_unquotable(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// By SSE2.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)] // intrinsics are for those alone who say that the processor has them
mod by {
    use super::LANES;
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };

    #[inline]
    pub(super) fn equal(block: &[u8; LANES], byte: u8) -> u32 {
        // SAFETY: SSE2 is part of x86-64, and the function has no other condition.
        unsafe { equal_by_sse2(block, byte) }
    }

    #[inline]
    pub(super) fn unquotable(block: &[u8; LANES]) -> u32 {
        // SAFETY: as above.
        unsafe { unquotable_by_sse2(block) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(block: &[u8; LANES]) -> __m128i {
        // SAFETY: a block has the 16 bytes that are read, which may lie anywhere.
        unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn equal_by_sse2(block: &[u8; LANES], byte: u8) -> u32 {
        _mm_movemask_epi8(_mm_cmpeq_epi8(load(block), _mm_set1_epi8(byte as i8))) as u32
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn unquotable_by_sse2(block: &[u8; LANES]) -> u32 {
        let (bytes, last_control) = (load(block), _mm_set1_epi8(0x1f));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash))) as u32
    }
}

/// By two words of eight bytes, for other processors.
#[cfg(any(not(target_arch = "x86_64"), test))]
#[cfg_attr(target_arch = "x86_64", allow(dead_code))]
mod words {
    use super::LANES;

    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = ONES * 0x7f;

    pub(super) fn equal(block: &[u8; LANES], byte: u8) -> u32 {
        by_words(block, |word| zeros(word ^ (ONES * u64::from(byte))))
    }

    pub(super) fn unquotable(block: &[u8; LANES]) -> u32 {
        by_words(block, |word| {
            let quote = zeros(word ^ (ONES * u64::from(b'"')));
            let slash = zeros(word ^ (ONES * u64::from(b'\\')));
            // A control character has none of its three highest bits.
            quote | slash | zeros(word & (ONES * 0xe0))
        })
    }

    /// The high bit of each byte that is 0, and no other.
    fn zeros(word: u64) -> u64 {
        !(((word & LOW) + LOW) | word | LOW)
    }

    fn by_words(block: &[u8; LANES], hits: impl Fn(u64) -> u64) -> u32 {
        let bits = |word: u64| {
            // The high bits of eight bytes side by side: each is moved to its place in the top byte.
            ((hits(word) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
        };
        let all = u128::from_le_bytes(*block);
        bits(all as u64) | bits((all >> 64) as u64) << 8
    }
}
#[cfg(not(target_arch = "x86_64"))]
use words as by;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_in_every_place_is_told_as_a_loop_would() {
        for byte in 0..=255u8 {
            for place in 0..LANES {
                for around in [b' ', b'a', 0x7f, 0x80, 0xff, 0x1f, b'!', b'#'] {
                    let mut block = [around; LANES];
                    block[place] = byte;
                    let naive = |is: &dyn Fn(u8) -> bool| {
                        (0..LANES).fold(0, |bits, at| bits | u32::from(is(block[at])) << at)
                    };
                    let expected = naive(&|byte| is_unquotable(byte));
                    assert_eq!(unquotable(&block), expected, "{byte} at {place} among {around}");
                    assert_eq!(words::unquotable(&block), expected, "{byte} at {place} among {around}");
                    let expected = naive(&|it| it == byte);
                    assert_eq!(equal(&block, byte), expected, "{byte} at {place} among {around}");
                    assert_eq!(words::equal(&block, byte), expected, "{byte} at {place} among {around}");
                }
            }
        }
    }
}
