//! What a person reads on a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// Columns that a line may have.
const WIDTH: usize = 96;

/// Writes `text` to standard output. A reader that has gone away (`tollgate check | head`) is no fault of
/// anybody's.
pub(super) fn show(text: impl Display) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.to_string().as_bytes()).and_then(|()| stdout.flush());
}

/// Writes `text`, a line of its own, to standard error.
pub(super) fn tell(text: impl Display) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// A line `label  text`, indented; text that is too long for a line goes on below itself.
pub(super) fn field(indent: usize, label: &str, text: &str) -> String {
    let start = 13;
    let mut out = format!("{:indent$}{label:1$}", "", start - indent);
    let mut column = start;
    for word in text.split(' ') {
        let wide = columns(word) + 1;
        match column {
            _ if column == start => {}
            _ if column + wide <= WIDTH => out.push(' '),
            _ => {
                out += &format!("\n{:start$}", "");
                column = start;
            }
        }
        out += word;
        column += wide;
    }
    out + "\n"
}

/// Columns of a word; what [`paint`] puts around it takes none.
fn columns(word: &str) -> usize {
    let mut is_colour = false;
    let seen = word.chars().filter(|character| {
        is_colour |= *character == '\x1b';
        let shown = !is_colour;
        is_colour &= *character != 'm';
        shown
    });
    seen.count()
}

/// How a word stands out.
#[derive(Clone, Copy)]
pub(super) enum Ink {
    /// It went well.
    Green,
    /// It did not.
    Red,
    /// It was held back.
    Yellow,
}

/// `text` in colour where standard output is a terminal and NO_COLOR is not set (<https://no-color.org>).
pub(super) fn paint(ink: Ink, text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain || !io::stdout().is_terminal() {
        return text.to_owned();
    }
    let code = match ink {
        Ink::Green => 32,
        Ink::Red => 31,
        Ink::Yellow => 33,
    };
    format!("\x1b[1;{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_aligned_and_long_ones_go_on_below() {
        assert_eq!(field(2, "gateway", "here"), "  gateway    here\n");
        let long = field(4, "reason", ["word"; 40].join(" ").as_str());
        assert!(long.lines().all(|line| line.len() <= WIDTH), "{long}");
        assert!(long.lines().skip(1).all(|line| line.starts_with("             word")), "{long}");
        assert_eq!(long.matches("word").count(), 40);
        assert_eq!(columns("\x1b[1;32m200,\x1b[0mm"), 5, "colours take no room");
        assert!(!long.contains(" \n"), "{long}");
    }
}
