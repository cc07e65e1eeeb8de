//! The lines of a file.

use crate::llm::auth::Fault;

/// A name and its value.
pub(super) type Setting<'t> = (&'t str, &'t str);

/// The settings below the first of `headings` that has any in `text`, in order; a heading is given as its words. A
/// section that stands several times is one.
pub(super) fn section<'t>(
    text: Option<&'t str>,
    file: &str,
    headings: &[&[&str]],
) -> Result<Vec<Setting<'t>>, Fault> {
    let mut found: Vec<(usize, Setting<'t>)> = Vec::new();
    let mut heading = None;
    for (text, number) in text.unwrap_or_default().lines().zip(1..) {
        let line = match (line(text), heading) {
            (Ok(Line::GoesOn | Line::Setting(_)), None) => Err("a setting before any section"),
            (line, _) => line,
        };
        match line {
            Ok(Line::Nothing | Line::GoesOn) => {}
            Ok(Line::Section(words)) => heading = Some(words),
            Ok(Line::Setting(setting)) => {
                let words = || heading.unwrap_or_default().split_whitespace();
                let place = headings.iter().position(|heading| words().eq(heading.iter().copied()));
                found.extend(place.map(|place| (place, setting)));
            }
            Err(what) => {
                let help =
                    "write [name] ([profile name] in config files), name = value, or # in front of a comment";
                return Err(Fault::new(format!("{file}:{number}: {what}"), help));
            }
        }
    }
    let first = found.iter().map(|(place, _)| *place).min();
    Ok(found.into_iter().filter(|(place, _)| Some(*place) == first).map(|(_, setting)| setting).collect())
}

/// What a line is.
enum Line<'t> {
    /// Blank, or a comment.
    Nothing,
    /// It belongs to the setting before.
    GoesOn,
    /// What stands between the brackets.
    Section(&'t str),
    Setting(Setting<'t>),
}

/// Reads a line; the error says what it is instead.
fn line(text: &str) -> Result<Line<'_>, &'static str> {
    let is_nothing = |text: &str| text.is_empty() || text.starts_with(['#', ';']);
    let trimmed = text.trim();
    match (trimmed.strip_prefix('['), trimmed.split_once('=')) {
        _ if is_nothing(trimmed) => Ok(Line::Nothing),
        _ if text.starts_with([' ', '\t']) => Ok(Line::GoesOn),
        (Some(rest), _) => match rest.split_once(']') {
            Some((heading, after)) if is_nothing(after.trim()) => Ok(Line::Section(heading)),
            Some(_) => Err("something else behind the \"]\" of a section"),
            None => Err("a section without its \"]\""),
        },
        (None, Some((name, value))) => match name.trim() {
            "" => Err("a setting without a name"),
            name => Ok(Line::Setting((name, uncommented(value).trim()))),
        },
        (None, None) => Err("neither a section nor a setting"),
    }
}

/// The value without a comment behind it, which begins with `#` or `;` after a space.
fn uncommented(value: &str) -> &str {
    let comments = [" #", " ;", "\t#", "\t;"].map(|start| value.find(start));
    let end = comments.into_iter().flatten().min().unwrap_or(value.len());
    value.get(..end).unwrap_or(value)
}
