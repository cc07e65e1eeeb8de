//! A reader of requests that forgives nothing, written from the grammar of RFC 9112 without anything of tollgate's. What
//! it does not understand, some server would understand in another way.

/// A request as a strict server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Request line and header lines, each without its end.
    pub lines: Vec<Vec<u8>>,
    pub body: Vec<u8>,
    /// Lines with their ends.
    pub trailers: Vec<u8>,
}

impl Seen {
    pub(crate) fn method(&self) -> &[u8] {
        self.lines[0].split(|b| *b == b' ').next().expect("a method")
    }

    pub(crate) fn target(&self) -> String {
        let target = self.lines[0].split(|b| *b == b' ').nth(1).expect("a target");
        String::from_utf8_lossy(target).into_owned()
    }

    /// The values of all lines with this name in lower case.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        values(&self.lines, name.as_bytes())
    }
}

fn values(lines: &[Vec<u8>], name: &[u8]) -> Vec<String> {
    let field = |line: &Vec<u8>| {
        let colon = line.iter().position(|b| *b == b':')?;
        let is_it = line[..colon].eq_ignore_ascii_case(name);
        is_it.then(|| String::from_utf8_lossy(line[colon + 1..].trim_ascii()).into_owned())
    };
    lines[1..].iter().filter_map(field).collect()
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// A line without its CRLF, and what is behind it.
type Line<'b> = (&'b [u8], &'b [u8]);

/// The line at the start of `bytes`.
fn line(bytes: &[u8]) -> Result<Option<Line<'_>>, String> {
    let Some(end) = bytes.iter().position(|b| *b == b'\n') else { return Ok(None) };
    match bytes[..end].split_last() {
        Some((b'\r', line)) if !line.contains(&b'\r') => Ok(Some((line, &bytes[end + 1..]))),
        _ => Err(format!("a line with another end: {}", bytes[..end + 1].escape_ascii())),
    }
}

fn check_field(line: &[u8]) -> Result<(), String> {
    let wrong = || format!("no header line: {}", line.escape_ascii());
    let colon = line.iter().position(|b| *b == b':').ok_or_else(wrong)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_value = value.iter().all(|b| *b == b'\t' || *b >= b' ' && *b != 0x7f);
    if is_token(name) && is_value { Ok(()) } else { Err(wrong()) }
}

/// The request at the start of `bytes` and how long it is; `None` when there is more to come.
pub(crate) fn request(bytes: &[u8]) -> Result<Option<(Seen, usize)>, String> {
    let (mut lines, mut rest) = (Vec::new(), bytes);
    loop {
        let Some((one, behind)) = line(rest)? else { return Ok(None) };
        rest = behind;
        if one.is_empty() {
            break;
        }
        lines.push(one.to_vec());
    }
    let first = lines.first().ok_or("an empty line for a request")?;
    let parts: Vec<&[u8]> = first.split(|b| *b == b' ').collect();
    let is_target = |target: &[u8]| target.starts_with(b"/") && target.iter().all(u8::is_ascii_graphic);
    match parts[..] {
        [method, target, b"HTTP/1.1"] if is_token(method) && is_target(target) => {}
        _ => return Err(format!("no request line: {}", first.escape_ascii())),
    }
    lines[1..].iter().try_for_each(|line| check_field(line))?;
    if values(&lines, b"host").len() != 1 {
        return Err("not one Host".to_owned());
    }
    let (lengths, codings) = (values(&lines, b"content-length"), values(&lines, b"transfer-encoding"));
    let seen = |body: &[u8], trailers: &[u8], rest: &[u8]| {
        let seen = Seen { lines: lines.clone(), body: body.to_vec(), trailers: trailers.to_vec() };
        Ok(Some((seen, bytes.len() - rest.len())))
    };
    match (&lengths[..], &codings[..]) {
        ([], []) => seen(b"", b"", rest),
        ([length], []) => {
            let is_plain =
                length.bytes().all(|b| b.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
            let length: usize = length.parse().ok().filter(|_| is_plain).ok_or("no length")?;
            match rest.get(..length) {
                Some(body) => seen(body, b"", &rest[length..]),
                None => Ok(None),
            }
        }
        ([], [coding]) if coding == "chunked" => match chunks(rest)? {
            Some((body, trailers, rest)) => seen(&body, &trailers, rest),
            None => Ok(None),
        },
        _ => Err(format!("lengths {lengths:?} and codings {codings:?}")),
    }
}

type Chunks<'a> = (Vec<u8>, Vec<u8>, &'a [u8]);

fn chunks(mut rest: &[u8]) -> Result<Option<Chunks<'_>>, String> {
    let mut body = Vec::new();
    loop {
        let Some((size, behind)) = line(rest)? else { return Ok(None) };
        let is_size = !size.is_empty() && size.len() <= 8 && size.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.filter(|_| is_size).ok_or("no chunk size")?;
        if size == 0 {
            rest = behind;
            break;
        }
        let Some(chunk) = behind.get(..size + 2) else { return Ok(None) };
        let data = chunk.strip_suffix(b"\r\n").ok_or("a chunk with another end")?;
        body.extend_from_slice(data);
        rest = &behind[size + 2..];
    }
    let mut trailers = Vec::new();
    loop {
        let Some((one, behind)) = line(rest)? else { return Ok(None) };
        rest = behind;
        if one.is_empty() {
            return Ok(Some((body, trailers, rest)));
        }
        check_field(one)?;
        trailers.extend_from_slice(one);
        trailers.extend_from_slice(b"\r\n");
    }
}

#[test]
fn it_forgives_nothing() {
    let good =
        b"POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\nGET";
    let (seen, len) = request(good).expect("good").expect("whole");
    assert_eq!((&seen.body[..], &seen.trailers[..], good.len() - len), (&b"hi"[..], &b"x: y\r\n"[..], 3));
    for cut in 0..len {
        assert_eq!(request(&good[..cut]), Ok(None), "cut at {cut}");
    }
    for bad in [
        "GET /a HTTP/1.1\nhost: a\r\n\r\n",
        "GET  /a HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /a HTTP/1.0\r\nhost: a\r\n\r\n",
        "GET /a HTTP/1.1\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\nx: y\rz\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\n x: y\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\ncontent-length: 00\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;a\r\nhi\r\n0\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi!\r\n0\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx y\r\n\r\n",
        "\r\nGET /a HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        assert!(request(bad.as_bytes()).is_err(), "{bad:?}");
    }
}
