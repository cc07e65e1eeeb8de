//! Appends JSON to a buffer; commas and closing brackets take care of themselves.
//!
//! ```
//! use tollgate::wire::json::write::Object;
//! let mut out = Vec::new();
//! let mut object = Object::new(&mut out);
//! object.string("type", "error").object("error").integer("code", 429);
//! drop(object);
//! assert_eq!(out, br#"{"type":"error","error":{"code":429}}"#);
//! ```

/// Appends `text` as a string: quoted, with quote, backslash and control characters escaped (RFC 8259 section 7).
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(super::string::plain_run(rest));
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        escape(out, *byte);
        rest = after;
    }
    out.push(b'"');
}

/// Appends `number` in decimal digits.
pub fn integer(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        at -= 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Writes an object; `{` when made, `}` when dropped.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Begins an object at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, empty: true }
    }

    /// A member with a string.
    pub fn string(&mut self, key: &str, text: &str) -> &mut Self {
        string(self.key(key), text);
        self
    }

    /// A member with a number.
    pub fn integer(&mut self, key: &str, number: u64) -> &mut Self {
        integer(self.key(key), number);
        self
    }

    /// A member with a truth value.
    pub fn bool(&mut self, key: &str, truth: bool) -> &mut Self {
        self.raw(key, if truth { b"true" } else { b"false" })
    }

    /// A member with `null`.
    pub fn null(&mut self, key: &str) -> &mut Self {
        self.raw(key, b"null")
    }

    /// A member whose value is copied as it stands; it must be one JSON value.
    pub fn raw(&mut self, key: &str, value: &[u8]) -> &mut Self {
        self.key(key).extend_from_slice(value);
        self
    }

    /// A member with an object, to be filled.
    pub fn object(&mut self, key: &str) -> Object<'_> {
        Object::new(self.key(key))
    }

    /// A member with an array, to be filled.
    pub fn array(&mut self, key: &str) -> Array<'_> {
        Array::new(self.key(key))
    }

    /// Writes a comma when one is due, and the key; the caller writes one value.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        comma(self.out, &mut self.empty);
        string(self.out, key);
        self.out.push(b':');
        self.out
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.out.push(b'}');
    }
}

/// Writes an array; `[` when made, `]` when dropped.
#[derive(Debug)]
pub struct Array<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Array<'a> {
    /// Begins an array at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Array<'a> {
        out.push(b'[');
        Array { out, empty: true }
    }

    /// An element that is a string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        string(self.element(), text);
        self
    }

    /// An element that is a number.
    pub fn integer(&mut self, number: u64) -> &mut Self {
        integer(self.element(), number);
        self
    }

    /// An element that is copied as it stands; it must be one JSON value.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.element().extend_from_slice(value);
        self
    }

    /// An element that is an object, to be filled.
    pub fn object(&mut self) -> Object<'_> {
        Object::new(self.element())
    }

    /// Writes a comma when one is due; the caller writes one value.
    pub fn element(&mut self) -> &mut Vec<u8> {
        comma(self.out, &mut self.empty);
        self.out
    }
}

impl Drop for Array<'_> {
    fn drop(&mut self) {
        self.out.push(b']');
    }
}

fn comma(out: &mut Vec<u8>, empty: &mut bool) {
    if !std::mem::replace(empty, false) {
        out.push(b',');
    }
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let hex = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nested_values_have_their_commas() {
        let mut out = Vec::new();
        {
            let mut object = Object::new(&mut out);
            object.string("s", "a\"\u{1}\n").integer("i", 0).bool("b", false).null("n").raw("r", b"[1]");
            object.object("o");
            let mut array = object.array("a");
            array.string("x").integer(u64::MAX).raw(b"{}");
            array.object().integer("k", 10);
        }
        let expect = r#"{"s":"a\"\u0001\n","i":0,"b":false,"n":null,"r":[1],"o":{},"a":["x",18446744073709551615,{},{"k":10}]}"#;
        assert_eq!(std::str::from_utf8(&out), Ok(expect));
    }

    proptest! {
        #[test]
        fn strings_and_numbers_read_back(text in any::<String>(), number: u64) {
            let mut out = Vec::new();
            string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            out.clear();
            integer(&mut out, number);
            prop_assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
