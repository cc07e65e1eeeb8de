//! `$apr1$`: Apache's variant of the MD5 `crypt` of FreeBSD (`apr_md5_encode` of APR).

/// The digits that a hash is written with.
pub(super) const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How often it goes round.
const ROUNDS: usize = 1000;
/// Which bytes of the last digest make four digits, the highest first.
const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];

/// The hash of `password` with `salt`, of which at most eight bytes count, as it is written.
pub(super) fn hash(password: &[u8], salt: &[u8]) -> [u8; 22] {
    let mut inner = md5::Context::new();
    [password, salt, password].into_iter().for_each(|part| inner.consume(part));
    let inner = inner.finalize().0;

    let mut first = md5::Context::new();
    [password, b"$apr1$", salt].into_iter().for_each(|part| first.consume(part));
    for start in (0..password.len()).step_by(inner.len()) {
        let count = (password.len() - start).min(inner.len());
        first.consume(inner.get(..count).unwrap_or(&inner));
    }
    let mut left = password.len();
    while left > 0 {
        // A 0, or the first byte of the password, by the bits of its length.
        first.consume(if left & 1 == 1 { &[0][..] } else { password.get(..1).unwrap_or_default() });
        left >>= 1;
    }
    let mut last = first.finalize().0;
    for round in 0..ROUNDS {
        let mut next = md5::Context::new();
        next.consume(if round & 1 == 1 { password } else { &last });
        if !round.is_multiple_of(3) {
            next.consume(salt);
        }
        if !round.is_multiple_of(7) {
            next.consume(password);
        }
        next.consume(if round & 1 == 1 { &last } else { password });
        last = next.finalize().0;
    }
    written(&last)
}

fn written(digest: &[u8; 16]) -> [u8; 22] {
    let mut text = [0; 22];
    let (groups, rest) = text.split_at_mut(20);
    for (digits, order) in groups.chunks_mut(4).zip(ORDER) {
        let bits = order.iter().fold(0, |bits, place| bits << 8 | u32::from(digest[*place]));
        put(digits, bits);
    }
    put(rest, u32::from(digest[11]));
    text
}

/// Six bits for each digit, the lowest first.
fn put(digits: &mut [u8], mut bits: u32) {
    for digit in digits {
        *digit = DIGITS[(bits & 63) as usize];
        bits >>= 6;
    }
}
