//! `onExhausted: {fallback: MODEL}`: a request that a limit would refuse is made with another model, and counted as that.

use crate::support::{ROUTES, Rig, Route, USER_TEXT, limits};
use tollgate_loadtest::{Count, Script, reply_text};

fn script() -> Script {
    Script { input_tokens: Count::Fixed(1_000), output_tokens: 100, ..Script::default() }
}

/// The model that answered, as the client is told, and the status.
fn ask(rig: &Rig, route: Route, model: &str, streamed: bool) -> (u16, String) {
    let answer = rig.client().ask(route.path, "", &route.body(model, streamed));
    let said = if answer.status == 200 { route.read(&answer).model } else { String::new() };
    (answer.status, said)
}

#[test]
fn the_model_of_an_exhausted_limit_answers_instead() {
    for (route, streamed) in ROUTES.into_iter().flat_map(|route| [(route, false), (route, true)]) {
        let list = [
            "{name: big, unit: requests, rate: 1/hour, key: {model: {}}, onExhausted: {fallback: small}}",
            "{name: all, unit: tokens, rate: 1/hour, burst: 2200}",
        ];
        let rig = Rig::start(script(), &limits(route.name, &list));
        let at = format!("{} streamed: {streamed}", route.path);
        assert_eq!(ask(&rig, route, "big", streamed), (200, "big".into()), "{at}");
        rig.settled();
        assert_eq!(ask(&rig, route, "big", streamed), (200, "small".into()), "{at}");
        rig.settled();
        assert_eq!(rig.balance(1), 0, "{at}: the other limit counts both");
        let refused = rig.client().ask(route.path, "", &route.body("big", streamed));
        assert_eq!(refused.status, 429, "{at}: {}", refused.text());
        assert!(refused.text().contains("llm/test/all"), "{at}: the limit without a fallback refuses");
        rig.assert_ledgers_agree();
    }
}

#[test]
fn fallbacks_follow_each_other_until_there_is_none() {
    let list = [
        "{name: a, unit: requests, rate: 1/hour, onExhausted: {fallback: second}}",
        "{name: b, unit: requests, rate: 2/hour, onExhausted: {fallback: third}}",
        "{name: c, unit: requests, rate: 3/hour}",
    ];
    for route in ROUTES {
        let rig = Rig::start(script(), &limits(route.name, &list));
        for (number, model) in (1..).zip(["first", "second", "third"]) {
            let answer = rig.client().ask(route.path, "", &route.body("first", false));
            let said = route.read(&answer);
            assert_eq!(said.model, model, "{}", route.path);
            assert_eq!(
                said.text,
                reply_text(model, USER_TEXT, number, &script()),
                "the provider was asked for it"
            );
        }
        assert_eq!(ask(&rig, route, "first", false).0, 429, "{}", route.path);
        assert_eq!((rig.balance(0), rig.balance(1), rig.balance(2)), (0, 0, 0), "{}", route.path);
    }
}
