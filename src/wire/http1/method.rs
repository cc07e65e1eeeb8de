/// A request method (RFC 9110 section 9, RFC 5789); case-sensitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `PATCH`
    Patch,
    /// `TRACE`
    Trace,
    /// `CONNECT`
    Connect,
    /// Any other token; its text is in [`RequestHead::method_text`](super::RequestHead::method_text).
    Other,
}

impl Method {
    /// The method that `text` names exactly, else [`Method::Other`].
    pub fn from_bytes(text: &[u8]) -> Method {
        match text {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"PATCH" => Method::Patch,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        }
    }

    /// The method's text; empty for [`Method::Other`].
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
            Method::Trace => "TRACE",
            Method::Connect => "CONNECT",
            Method::Other => "",
        }
    }

    /// Whether it asks for no change of state (RFC 9110 section 9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// Whether sending it twice intends the same as sending it once (RFC 9110 section 9.2.2).
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_exact_name() {
        for (text, method, safe, idempotent) in [
            ("GET", Method::Get, true, true),
            ("HEAD", Method::Head, true, true),
            ("POST", Method::Post, false, false),
            ("PUT", Method::Put, false, true),
            ("DELETE", Method::Delete, false, true),
            ("OPTIONS", Method::Options, true, true),
            ("PATCH", Method::Patch, false, false),
            ("TRACE", Method::Trace, true, true),
            ("CONNECT", Method::Connect, false, false),
        ] {
            assert_eq!(Method::from_bytes(text.as_bytes()), method);
            assert_eq!((method.name(), method.is_safe(), method.is_idempotent()), (text, safe, idempotent));
        }
        for text in ["get", "GETS", "", "QUERY"] {
            assert_eq!(Method::from_bytes(text.as_bytes()), Method::Other, "{text}");
        }
    }
}
