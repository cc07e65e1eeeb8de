//! Hashes of passwords, as Apache's `htpasswd` writes them.

use super::apr1;
use crate::base::{base64, is_same};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::fmt;

/// The highest cost of bcrypt that is taken. Each step doubles the work: 14 is about a second of a core, and whoever likes can
/// ask for that.
pub const COST_MAX: u32 = 14;
/// The lowest that bcrypt has.
const COST_MIN: u32 = 4;
/// The longest salt of apr1, in bytes.
const SALT_MAX: usize = 8;
/// bcrypt takes no more of a password, in bytes, a final 0 among them.
const BCRYPT_BYTES: usize = 72;

/// The hash of a password.
#[derive(PartialEq, Eq)]
pub enum Hash {
    /// `$2y$`, and `$2a$` and `$2b$`, which are the same for passwords without a 0.
    Bcrypt {
        /// The binary logarithm of how often it goes round.
        cost: u32,
        /// What makes equal passwords differ.
        salt: [u8; 16],
        /// The hash itself, of which the last byte is never written.
        hash: [u8; 23],
    },
    /// `$apr1$`: MD5, a thousand times.
    Apr1 {
        /// What makes equal passwords differ.
        salt: Box<str>,
        /// The hash as it is written.
        hash: [u8; 22],
    },
    /// `{SHA}`: SHA-1, once, without salt.
    Sha1([u8; 20]),
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a line of an htpasswd file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is no `name:hash`.
    NoColon,
    /// The name is empty, too long, or has control characters.
    Name,
    /// What stands behind the name.
    Hash(String, WrongHash),
}

/// What is wrong with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongHash {
    /// A form that is damaged.
    Damaged(&'static str),
    /// bcrypt of a cost that nobody may ask for.
    Cost(u32),
    /// A form of `crypt` that is not supported.
    Crypt,
    /// Anything else: the password itself, for all that can be told.
    Plain,
}

impl Hash {
    /// Reads what stands behind the name.
    pub(super) fn read(text: &str) -> Result<Hash, WrongHash> {
        if let Some(rest) = text.strip_prefix("{SHA}") {
            let hash = base64::decode(rest.as_bytes()).and_then(|hash| hash.try_into().ok());
            return hash.map(Hash::Sha1).ok_or(WrongHash::Damaged("{SHA}"));
        }
        if let Some(rest) = text.strip_prefix("$apr1$") {
            return apr1(rest).ok_or(WrongHash::Damaged("$apr1$"));
        }
        let bcrypt =
            ["$2y$", "$2a$", "$2b$"].into_iter().find_map(|kind| Some((kind, text.strip_prefix(kind)?)));
        if let Some((kind, rest)) = bcrypt {
            let hash = read_bcrypt(rest).ok_or(WrongHash::Damaged(kind))?;
            return match hash {
                Hash::Bcrypt { cost, .. } if cost > COST_MAX => Err(WrongHash::Cost(cost)),
                hash => Ok(hash),
            };
        }
        let is_crypt_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
        let is_des = text.len() == 13 && text.bytes().all(is_crypt_digit);
        let is_other = text.starts_with('$') || text.starts_with('_') && text.len() == 20;
        Err(if is_des || is_other { WrongHash::Crypt } else { WrongHash::Plain })
    }

    /// Its name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Hash::Bcrypt { .. } => "bcrypt",
            Hash::Apr1 { .. } => "apr1",
            Hash::Sha1(_) => "SHA-1",
        }
    }

    /// Whether it is the hash of this password. This takes as long as the hash was meant to: see [`COST_MAX`]. What it
    /// takes beyond that tells nothing of the hash.
    pub fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Hash::Bcrypt { cost, salt, hash } => {
                let found = Hash::bcrypt(*cost, *salt, password);
                is_same(found.get(..hash.len()).unwrap_or_default(), hash)
            }
            Hash::Apr1 { salt, hash } => is_same(&apr1::hash(password, salt.as_bytes()), hash),
            Hash::Sha1(hash) => is_same(digest(&SHA1_FOR_LEGACY_USE_ONLY, password).as_ref(), hash),
        }
    }

    /// bcrypt, with a byte behind those that are written.
    pub(super) fn bcrypt(cost: u32, salt: [u8; 16], password: &[u8]) -> [u8; 24] {
        let mut key = [0; BCRYPT_BYTES];
        let taken = password.len().min(BCRYPT_BYTES);
        let end = (taken + 1).min(BCRYPT_BYTES); // the final 0 belongs to it, where it has room
        if let (Some(to), Some(from)) = (key.get_mut(..taken), password.get(..taken)) {
            to.copy_from_slice(from);
        }
        let found = bcrypt::bcrypt(cost, salt, key.get(..end).unwrap_or(&key));
        key.fill(0);
        std::hint::black_box(&key);
        found
    }
}

/// `salt$hash`
fn apr1(text: &str) -> Option<Hash> {
    let (salt, hash) = text.split_once('$')?;
    let hash: [u8; 22] = hash.as_bytes().try_into().ok()?;
    // The last digit holds two bits, and those before it six.
    let is_hash =
        hash.iter().all(|digit| apr1::DIGITS.contains(digit)) && apr1::DIGITS.get(..4)?.contains(&hash[21]);
    let is_salt = salt.len() <= SALT_MAX && salt.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    (is_hash && is_salt).then(|| Hash::Apr1 { salt: salt.into(), hash })
}

/// `cost$salthash`: two digits, then 22 and 31 of bcrypt's own base64.
fn read_bcrypt(text: &str) -> Option<Hash> {
    let (cost, rest) = text.split_once('$')?;
    let is_cost = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    let cost = cost.parse().ok().filter(|cost| is_cost && (COST_MIN..32).contains(cost))?;
    let (salt, hash) = rest.split_at_checked(22)?;
    Some(Hash::Bcrypt { cost, salt: bcrypt_bytes(salt)?, hash: bcrypt_bytes(hash)? })
}

/// Exactly so many bytes in bcrypt's alphabet, in as many digits as they need. Bits left over are passed over: some
/// programs write salts that have some.
fn bcrypt_bytes<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    if text.len() != (BYTES * 8).div_ceil(6) {
        return None;
    }
    let mut bytes = [0; BYTES];
    let (mut bits, mut held, mut places) = (0u32, 0, bytes.iter_mut());
    for digit in text.bytes() {
        let sextet = match digit {
            b'.' => 0,
            b'/' => 1,
            b'A'..=b'Z' => digit - b'A' + 2,
            b'a'..=b'z' => digit - b'a' + 28,
            b'0'..=b'9' => digit - b'0' + 54,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(sextet)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            *places.next()? = (bits >> held) as u8;
        }
    }
    Some(bytes)
}
