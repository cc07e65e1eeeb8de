//! How an exchange ended, who counted its tokens, and by which price.

/// Who counted the tokens that were settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageSource {
    /// The provider.
    Reported,
    /// tollgate, from the bytes that passed.
    Counted,
    /// Nobody: there was nothing to count.
    #[default]
    None,
}

impl UsageSource {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            UsageSource::Reported => "reported",
            UsageSource::Counted => "counted",
            UsageSource::None => "none",
        }
    }
}

/// By which price the tokens that were settled were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceSource {
    /// A row of a price list.
    Listed,
    /// No row is known, and the configuration has a price for such models.
    Default,
    /// No row is known: they cost nothing, or the request was refused for it.
    Unknown,
}

impl PriceSource {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            PriceSource::Listed => "listed",
            PriceSource::Default => "default",
            PriceSource::Unknown => "unknown",
        }
    }
}

/// How an exchange ended: whether the client got what it asked for, and if not, where that came to an end. The status in
/// the record is what the client was told. So `upstream_failed` beside a 400 is a request that the provider refused, and
/// beside a 429 or a 500 one that the provider did not serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The answer reached the client in full: that of a model with a status below 400, or a stream to its end, even if its
    /// provider ended it with an event that tells an error; that of a plain host with any status, for there only host and
    /// client know what is an error.
    Completed,
    /// tollgate answered by a filter: a redirect, a direct response.
    Answered,
    /// The client left before the end.
    ClientGone,
    /// A limit refused it, or it has no price and is refused for that.
    Refused,
    /// The caller was not let in.
    Denied,
    /// A guard rejected the request or its answer.
    Rejected,
    /// The request could not be understood or was beyond a bound.
    BadRequest,
    /// No route took it.
    NoRoute,
    /// No provider could be reached, none gave an answer, or the answer of the last that was asked for a model is an error,
    /// of status 400 or above. The client was told of it in full.
    UpstreamFailed,
    /// The provider broke off within its answer.
    UpstreamCut,
    /// A limit ran out within a stream, which was brought to an early end.
    LimitCut,
    /// A time ran out.
    Timeout,
    /// tollgate shut down before the end.
    Shutdown,
    /// A fault in tollgate; also what a record says that nobody finished.
    #[default]
    Fault,
}

impl Outcome {
    /// All of them, in order.
    pub const ALL: [Outcome; 14] = [
        Outcome::Completed,
        Outcome::Answered,
        Outcome::ClientGone,
        Outcome::Refused,
        Outcome::Denied,
        Outcome::Rejected,
        Outcome::BadRequest,
        Outcome::NoRoute,
        Outcome::UpstreamFailed,
        Outcome::UpstreamCut,
        Outcome::LimitCut,
        Outcome::Timeout,
        Outcome::Shutdown,
        Outcome::Fault,
    ];

    /// Its name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Answered => "answered",
            Outcome::ClientGone => "client_gone",
            Outcome::Refused => "refused",
            Outcome::Denied => "denied",
            Outcome::Rejected => "rejected",
            Outcome::BadRequest => "bad_request",
            Outcome::NoRoute => "no_route",
            Outcome::UpstreamFailed => "upstream_failed",
            Outcome::UpstreamCut => "upstream_cut",
            Outcome::LimitCut => "limit_cut",
            Outcome::Timeout => "timeout",
            Outcome::Shutdown => "shutdown",
            Outcome::Fault => "fault",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_listed_in_their_order() {
        for (place, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, place, "{}", outcome.name());
        }
    }
}
