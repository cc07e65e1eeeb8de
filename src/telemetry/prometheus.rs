//! The Prometheus text exposition format, version 0.0.4, written line by line.
//!
//! A document is a row of families; each has its `# HELP` and `# TYPE` once and all its samples after them,
//! which the borrow of [`Family`] sees to. Numbers are integers or decimals of integers, so that none is
//! rounded on its way out.

use super::histogram::Buckets;
use std::io::Write;

/// What to answer as `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels of a sample: names, which match `[a-zA-Z_][a-zA-Z0-9_]*`, and any values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// What a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbers that only grow.
    Counter,
    /// Numbers that go up and down.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

/// A document in the making, appended to a buffer.
#[derive(Debug)]
pub struct Exposition<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Exposition<'o> {
    /// A document at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Exposition<'o> {
        Exposition { out }
    }

    /// Begins a family; its samples come next. No name may come twice.
    pub fn family<'f>(&'f mut self, name: &'f str, kind: Kind, help: &str) -> Family<'f> {
        push(self.out, &["# HELP ", name, " "]);
        push_escaped(self.out, help, false);
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        push(self.out, &["\n# TYPE ", name, " ", kind, "\n"]);
        Family { out: self.out, name }
    }
}

/// A family whose samples are being written. Two samples must differ in a label.
#[derive(Debug)]
pub struct Family<'e> {
    out: &'e mut Vec<u8>,
    name: &'e str,
}

impl Family<'_> {
    /// One whole number.
    pub fn sample(&mut self, labels: Labels<'_>, value: u64) {
        self.decimal(labels, value, 0);
    }

    /// One number, `value * 10^-decimals`, with at most 19 decimals.
    pub fn decimal(&mut self, labels: Labels<'_>, value: u64, decimals: u32) {
        self.line("", labels, None, value, decimals);
    }

    /// One histogram: buckets that each count all below their bound too, the sum, the count.
    pub fn histogram(&mut self, labels: Labels<'_>, buckets: &Buckets) {
        let mut upto = 0;
        for (place, count) in buckets.counts.iter().enumerate() {
            upto += count;
            let mut bound = Vec::new();
            match buckets.bounds.get(place) {
                Some(value) => push_decimal(&mut bound, *value, buckets.decimals),
                None => bound.extend_from_slice(b"+Inf"),
            }
            self.line("_bucket", labels, Some(&bound), upto, 0);
        }
        self.line("_sum", labels, None, buckets.sum, buckets.decimals);
        self.line("_count", labels, None, upto, 0);
    }

    /// `name_suffix{labels,le="bound"} value`.
    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&[u8]>, value: u64, decimals: u32) {
        push(self.out, &[self.name, suffix]);
        let mut before = "{";
        for (name, value) in labels {
            push(self.out, &[before, name, "=\""]);
            push_escaped(self.out, value, true);
            push(self.out, &["\""]);
            before = ",";
        }
        if let Some(bound) = bound {
            push(self.out, &[before, "le=\""]);
            self.out.extend_from_slice(bound);
            push(self.out, &["\""]);
            before = ",";
        }
        push(self.out, &[if before == "," { "} " } else { " " }]);
        push_decimal(self.out, value, decimals);
        push(self.out, &["\n"]);
    }
}

/// `value * 10^-decimals`, with at most 19 decimals, in full, without zeros at the end of the fraction.
fn push_decimal(out: &mut Vec<u8>, value: u64, decimals: u32) {
    let unit = 10u64.saturating_pow(decimals);
    let (whole, part) = (value / unit, value % unit);
    let _ = write!(out, "{whole}"); // writing to a Vec does not fail
    if part > 0 {
        let _ = write!(out, ".{part:0width$}", width = decimals as usize);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Text with `\` and line feed escaped, in a label's value `"` too.
fn push_escaped(out: &mut Vec<u8>, text: &str, in_quotes: bool) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'"' if in_quotes => out.extend_from_slice(b"\\\""),
            _ => out.push(byte),
        }
    }
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_written_as_the_format_says() {
        let mut out = Vec::new();
        let mut exposition = Exposition::new(&mut out);
        let mut family =
            exposition.family("a_total", Kind::Counter, "Help with \\ and\nnew line and \"quote\".");
        family.sample(&[], 1);
        family.sample(&[("x", "back\\slash"), ("y", "\"quoted\"\nline")], u64::MAX);
        exposition.family("b", Kind::Gauge, "").decimal(&[("ü", "é")], 1_500_000, 6);
        let buckets =
            Buckets { bounds: vec![500_000, 1_000_000], counts: vec![1, 0, 2], sum: 3_000_001, decimals: 6 };
        let mut family = exposition.family("c_seconds", Kind::Histogram, "c");
        family.histogram(&[], &buckets);
        family.histogram(&[("x", "1")], &buckets);
        let expected = r#"# HELP a_total Help with \\ and\nnew line and "quote".
# TYPE a_total counter
a_total 1
a_total{x="back\\slash",y="\"quoted\"\nline"} 18446744073709551615
# HELP b 
# TYPE b gauge
b{ü="é"} 1.5
# HELP c_seconds c
# TYPE c_seconds histogram
c_seconds_bucket{le="0.5"} 1
c_seconds_bucket{le="1"} 1
c_seconds_bucket{le="+Inf"} 3
c_seconds_sum 3.000001
c_seconds_count 3
c_seconds_bucket{x="1",le="0.5"} 1
c_seconds_bucket{x="1",le="1"} 1
c_seconds_bucket{x="1",le="+Inf"} 3
c_seconds_sum{x="1"} 3.000001
c_seconds_count{x="1"} 3
"#;
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn decimals_are_exact() {
        for (value, decimals, shown) in [
            (0, 0, "0"),
            (0, 9, "0"),
            (1, 9, "0.000000001"),
            (10, 1, "1"),
            (100, 1, "10"),
            (1_230_000, 6, "1.23"),
            (u64::MAX, 9, "18446744073.709551615"),
            (u64::MAX, 19, "1.8446744073709551615"),
        ] {
            let mut out = Vec::new();
            push_decimal(&mut out, value, decimals);
            assert_eq!(String::from_utf8(out).expect("digits"), shown);
        }
    }
}
