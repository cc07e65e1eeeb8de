use crate::base::ascii;

/// Where reading of a chunk's extensions is, behind their first `;` (RFC 9112 section 7.1.1):
///
/// `chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`, where a name is a token and a value is
/// a token or a quoted string.
///
/// They are dropped, but not unread: who looks for the end of an open quote sees other chunks than who looks for CRLF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// Before a name, whitespace first.
    Start,
    Name,
    /// Whitespace behind a name.
    AfterName,
    /// Before a value, whitespace first.
    Equals,
    Value,
    /// In a quoted string.
    Quoted,
    /// Behind a backslash in it.
    Escaped,
    /// Behind its end.
    Closed,
    /// Whitespace behind a value.
    AfterValue,
}

impl Extension {
    /// Where it is behind `byte`; `None` when that must not stand here. CR is not for it.
    pub(super) fn behind(self, byte: u8) -> Option<Extension> {
        use Extension::*;
        let is_blank = matches!(byte, b' ' | b'\t');
        Some(match (self, byte) {
            (Quoted, b'"') => Closed,
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, _) if ascii::is_value(byte) => Quoted,
            (Quoted | Escaped, _) => return None,
            (Start | Name, _) if ascii::is_token(byte) => Name,
            (Equals | Value, _) if ascii::is_token(byte) => Value,
            (Equals, b'"') => Quoted,
            (Start | Equals, _) if is_blank => self,
            (Start | Equals, _) => return None,
            (_, b';') => Start,
            (Name | AfterName, b'=') => Equals,
            (Name | AfterName, _) if is_blank => AfterName,
            (_, _) if is_blank => AfterValue,
            _ => return None,
        })
    }

    /// Whether the line may end here: behind a name or a value.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Extension::Name | Extension::Value | Extension::Closed)
    }
}
