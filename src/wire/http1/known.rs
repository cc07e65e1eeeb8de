/// Declares [`Known`] with the lower-case text of each name.
macro_rules! known {
    ($($variant:ident $name:literal,)*) => {
        /// A header name that some part of tollgate acts upon.
        ///
        /// Names are compared without case (RFC 9110 section 5.1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// A name of framing or forwarding with `_` in the place of `-`: see
            /// [`HeadFault::Disguised`](super::HeadFault::Disguised).
            Disguised,
            /// Any other name.
            Other,
        }

        const ALL: &[Known] = &[$(Known::$variant),*];

        impl Known {
            /// The name in lower case; empty for [`Known::Other`] and [`Known::Disguised`].
            pub const fn name(self) -> &'static str {
                match self {
                    $(Known::$variant => $name,)*
                    Known::Disguised | Known::Other => "",
                }
            }
        }
    };
}

known! {
    // Framing and the connection.
    Host "host",
    ContentLength "content-length",
    TransferEncoding "transfer-encoding",
    Connection "connection",
    KeepAlive "keep-alive",
    ProxyConnection "proxy-connection",
    Te "te",
    Trailer "trailer",
    Upgrade "upgrade",
    Http2Settings "http2-settings",
    Expect "expect",
    MaxForwards "max-forwards",
    // Content.
    ContentType "content-type",
    ContentEncoding "content-encoding",
    AcceptEncoding "accept-encoding",
    Accept "accept",
    CacheControl "cache-control",
    // Who asks.
    Authorization "authorization",
    WwwAuthenticate "www-authenticate",
    ProxyAuthorization "proxy-authorization",
    ProxyAuthenticate "proxy-authenticate",
    ProxyAuthenticationInfo "proxy-authentication-info",
    XApiKey "x-api-key",
    ApiKey "api-key",
    XGoogApiKey "x-goog-api-key",
    AnthropicVersion "anthropic-version",
    AnthropicBeta "anthropic-beta",
    Cookie "cookie",
    SetCookie "set-cookie",
    Origin "origin",
    UserAgent "user-agent",
    // The way.
    Via "via",
    Forwarded "forwarded",
    XForwardedFor "x-forwarded-for",
    XForwardedProto "x-forwarded-proto",
    XForwardedHost "x-forwarded-host",
    XRequestId "x-request-id",
    Traceparent "traceparent",
    Tracestate "tracestate",
    // The answer.
    Date "date",
    Server "server",
    Location "location",
    RetryAfter "retry-after",
}

impl Known {
    /// Which of the known names `name` is, in any case: one look into a table and one comparison. `name` is a
    /// token.
    pub fn of(name: &[u8]) -> Known {
        let Some(first) = name.first() else { return Known::Other };
        let candidate = CANDIDATES[key(name.len(), *first)];
        if candidate == Known::Other || is_folded(name, candidate.name().as_bytes()) {
            return candidate;
        }
        candidate.or_disguised(name)
    }

    /// What `name` is, which is not this one but as long and begins like it: that is seldom.
    #[cold]
    fn or_disguised(self, name: &[u8]) -> Known {
        let dashed = name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() });
        let is_it = self.is_guarded() && dashed.eq(self.name().bytes());
        if is_it { Known::Disguised } else { Known::Other }
    }

    /// Whether nobody may mistake another name for it: it tells where a message ends, or where it came from.
    const fn is_guarded(self) -> bool {
        self.is_hop_by_hop()
            || matches!(
                self,
                Known::ContentLength | Known::XForwardedFor | Known::XForwardedProto | Known::XForwardedHost
            )
    }

    /// Whether the header concerns one connection only and is never forwarded (RFC 9110 section 7.6.1).
    ///
    /// `Content-Length` is not among them, though who forwards writes his own. `Proxy-Authorization` and its
    /// kin are for the first proxy that asks for them, which tollgate then is (RFC 9110 section 11.7).
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::ProxyAuthorization
                | Known::ProxyAuthenticate
                | Known::ProxyAuthenticationInfo
                | Known::Te
                | Known::Trailer
                | Known::TransferEncoding
                | Known::Upgrade
                | Known::Http2Settings
        )
    }

    /// Its bit in a set of known names.
    pub(super) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// Whether the token `name` is `lower` in any case, eight bytes at a time: half of all names are known ones.
///
/// Setting bit 5 makes capitals small and leaves small letters and `-` alone. It would also make a CR a `-`,
/// but that is in no token.
fn is_folded(name: &[u8], lower: &[u8]) -> bool {
    const BIT_5: u64 = 0x2020_2020_2020_2020;
    let is_word =
        |name: &[u8; 8], lower: &[u8; 8]| u64::from_ne_bytes(*name) | BIT_5 == u64::from_ne_bytes(*lower);
    if name.len() != lower.len() {
        return false;
    }
    match (name.last_chunk(), lower.last_chunk()) {
        (Some(name_end), Some(lower_end)) => {
            let mut words = name.as_chunks().0.iter().zip(lower.as_chunks().0);
            is_word(name_end, lower_end) && words.all(|(name, lower)| is_word(name, lower))
        }
        _ => name.eq_ignore_ascii_case(lower),
    }
}

/// Length and first letter, folded to ten bits; bit 5 of the letter is its case.
const fn key(len: usize, first: u8) -> usize {
    (len & 31) << 5 | (first & 31) as usize
}

/// The one known name for each key. The build fails when two names share one.
static CANDIDATES: [Known; 1024] = {
    assert!(ALL.len() < 63, "a set of known names must fit 64 bits");
    let mut table = [Known::Other; 1024];
    let mut i = 0;
    while i < ALL.len() {
        let name = ALL[i].name().as_bytes();
        let key = key(name.len(), name[0]);
        assert!(matches!(table[key], Known::Other), "two known names share length and first letter");
        table[key] = ALL[i];
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case_and_nothing_near_it_is() {
        for known in ALL {
            let name = known.name();
            assert_eq!(Known::of(name.as_bytes()), *known);
            assert_eq!(Known::of(name.to_uppercase().as_bytes()), *known);
            for near in [format!("{name}s"), name[1..].to_string()] {
                assert_eq!(Known::of(near.as_bytes()), Known::Other, "{near}");
            }
            let disguised = if known.is_guarded() { Known::Disguised } else { Known::Other };
            for near in [name.replacen('-', "_", 1), name.to_uppercase().replace('-', "_")] {
                let expect = if name.contains('-') { disguised } else { *known };
                assert_eq!(Known::of(near.as_bytes()), expect, "{near}");
            }
            for at in 0..name.len() {
                let mut near = name.as_bytes().to_vec();
                near[at] = b'!';
                assert_eq!(Known::of(&near), Known::Other, "{name} with another byte at {at}");
            }
            let longer = format!("{name}{}", "-".repeat(32));
            assert_eq!(Known::of(longer.as_bytes()), Known::Other);
        }
        for other in ["", "x-team", "Hos\u{74}x", "\u{8}ost", "(ost"] {
            assert_eq!(Known::of(other.as_bytes()), Known::Other, "{other}");
        }
    }
}
