use super::part::{Part, What};
use super::request::{Request, Role, Turn};
use std::collections::HashMap;

/// Neighbouring turns of one role, which most providers take for one: the results of parallel calls have to stand
/// together, right after the calls. A system message is a run of its own.
pub(crate) struct Run<'r, 't, 'b> {
    pub(crate) role: Role,
    pub(crate) turns: Vec<&'r Turn<'t, 'b>>,
    /// What they hold; the user's results of calls first, in the order of the calls, as OpenAI, Anthropic and Gemini
    /// demand.
    pub(crate) parts: Vec<&'r Part<'t, 'b>>,
}

impl Run<'_, '_, '_> {
    /// Which part is the last text that says something.
    pub(crate) fn last_text(&self) -> Option<usize> {
        self.parts.iter().rposition(|part| match part.what {
            What::Text { text, .. } | What::Refusal(text) => !text.trim().is_empty(),
            _ => false,
        })
    }
}

impl<'t, 'b> Request<'t, 'b> {
    /// The runs of the [`conversation`](Request::conversation).
    pub(crate) fn runs(&self) -> Vec<Run<'_, 't, 'b>> {
        runs(self.conversation())
    }
}

/// The runs of `turns`, no more than there are turns.
pub(crate) fn runs<'r, 't, 'b>(turns: impl IntoIterator<Item = &'r Turn<'t, 'b>>) -> Vec<Run<'r, 't, 'b>> {
    let turns: Vec<&Turn<'t, 'b>> = turns.into_iter().collect();
    let mut calls = Calls::default();
    let alike = |one: &&Turn<'_, '_>, next: &&Turn<'_, '_>| one.role == next.role && one.role != Role::System;
    let joined = turns.chunk_by(alike).map(|turns| {
        let role = turns.first().map_or(Role::User, |turn| turn.role);
        let mut parts: Vec<&Part<'t, 'b>> = turns.iter().flat_map(|turn| &turn.parts).collect();
        match role {
            Role::Assistant => parts.iter().for_each(|part| calls.note(part)),
            Role::User => calls.sort(&mut parts),
            Role::System => {}
        }
        Run { role, turns: turns.to_vec(), parts }
    });
    joined.collect()
}

/// Which call of the conversation each is, by its id; the last of those that share one.
#[derive(Default)]
struct Calls<'b> {
    numbers: HashMap<&'b str, usize>,
    count: usize,
}

impl<'b> Calls<'b> {
    fn note(&mut self, part: &Part<'_, 'b>) {
        if let What::Call { id, .. } = part.what {
            self.numbers.insert(id, self.count);
            self.count += 1;
        }
    }

    /// Results that answer no call come after those that do.
    fn sort(&self, parts: &mut [&Part<'_, 'b>]) {
        parts.sort_by_cached_key(|part| match part.what {
            What::Result { id, .. } => (false, self.numbers.get(id).copied().unwrap_or(usize::MAX)),
            _ => (true, 0),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::part::{At, Json};
    use super::*;

    fn turn(role: Role, words: &[&'static str]) -> Turn<'static, 'static> {
        let part = |word: &&'static str| {
            let what = match (role, word.strip_prefix('#')) {
                (_, None) => return Part::text(word, At::default()),
                (Role::User, Some(id)) => What::Result { id, name: "", content: Vec::new(), failed: false },
                (_, Some(id)) => What::Call { id, name: "f", arguments: Json::Nothing, signature: "" },
            };
            Part::new(what, At::default())
        };
        Turn { role, parts: words.iter().map(part).collect() }
    }

    #[test]
    fn neighbours_are_joined_and_results_follow_their_calls() {
        use Role::{Assistant, System, User};
        type Turns = &'static [(Role, &'static [&'static str])];
        let cases: [(Turns, &str); 7] = [
            (&[], ""),
            (&[(User, &["a"]), (User, &["b"])], "User a b"),
            (&[(System, &["a"]), (System, &["b"]), (User, &["c"])], "System a|System b|User c"),
            (
                &[(Assistant, &["#1", "#2"]), (User, &["x", "#2"]), (User, &["y", "#1"])],
                "Assistant #1 #2|User #1 #2 x y",
            ),
            (
                &[(Assistant, &["#1"]), (Assistant, &["#2"]), (User, &["#2", "#1"])],
                "Assistant #1 #2|User #1 #2",
            ),
            (&[(Assistant, &["#2"]), (User, &["#9", "x", "#8", "#2"])], "Assistant #2|User #2 #9 #8 x"),
            // An id that is used again is the later call's.
            (
                &[(Assistant, &["#1"]), (User, &["#1"]), (Assistant, &["#2", "#1"]), (User, &["#1", "#2"])],
                "Assistant #1|User #1|Assistant #2 #1|User #2 #1",
            ),
        ];
        for (given, expected) in cases {
            let turns: Vec<Turn<'_, '_>> = given.iter().map(|(role, words)| turn(*role, words)).collect();
            let told = |run: &Run<'_, '_, '_>| {
                let words = run.parts.iter().map(|part| match part.what {
                    What::Text { text, .. } => format!(" {text}"),
                    What::Call { id, .. } | What::Result { id, .. } => format!(" #{id}"),
                    _ => String::new(),
                });
                format!("{:?}{}", run.role, words.collect::<String>())
            };
            let got: Vec<String> = runs(&turns).iter().map(told).collect();
            assert_eq!(got.join("|"), expected);
        }
    }
}
