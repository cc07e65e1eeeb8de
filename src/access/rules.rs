//! Rules in CEL: who is allowed, denied, and what is required of everybody.

use super::Refusal;
use super::cel::{Expression, Failed, World};
use std::sync::Arc;

/// What a rule does where its expression is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// One of all these has to be true, where there are any.
    #[default]
    Allow,
    /// None of these may be true.
    Deny,
    /// All of these have to be true.
    Require,
}

/// Rules of all levels together (agentgateway, "authorization": rule sets are merged).
///
/// A rule that asks for the model has to wait until it is known, so there are two askings: [`of_head`](Rules::of_head),
/// then [`of_model`](Rules::of_model) with what the first found out.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    list: Vec<(Action, Arc<Expression>)>,
}

/// What the first asking left open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed(bool);

impl Rules {
    /// Adds a rule.
    pub fn push(&mut self, action: Action, expression: Arc<Expression>) {
        self.list.push((action, expression));
    }

    /// Whether there is none: then everybody is allowed.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Asks what a head tells.
    ///
    /// # Errors
    /// It is enough to say no.
    pub fn of_head(&self, world: &World<'_>) -> Result<Allowed, Refusal> {
        self.conditions(world, false)?;
        let allowed = self.any(Action::Allow, world, false)?;
        let waits = self.of(Action::Allow, true).next().is_some();
        match allowed || waits || self.of(Action::Allow, false).next().is_none() {
            true => Ok(Allowed(allowed)),
            false => Err(Refusal::Rules),
        }
    }

    /// Asks the rest, once the model is known or it is known that there is none.
    ///
    /// # Errors
    /// The answer is no.
    pub fn of_model(&self, world: &World<'_>, Allowed(allowed): Allowed) -> Result<(), Refusal> {
        self.conditions(world, true)?;
        let waited = self.of(Action::Allow, true).next().is_some();
        match allowed || !waited || self.any(Action::Allow, world, true)? {
            true => Ok(()),
            false => Err(Refusal::Rules),
        }
    }

    /// What has to be so whoever is allowed. An expression without a value is not true: then what it would deny is not
    /// denied, and what it requires is not there.
    fn conditions(&self, world: &World<'_>, of_model: bool) -> Result<(), Refusal> {
        if self.any(Action::Deny, world, of_model)? {
            return Err(Refusal::Rules);
        }
        for expression in self.of(Action::Require, of_model) {
            if !is_true(expression, world)? {
                return Err(Refusal::Rules);
            }
        }
        Ok(())
    }

    fn any(&self, action: Action, world: &World<'_>, of_model: bool) -> Result<bool, Refusal> {
        for expression in self.of(action, of_model) {
            if is_true(expression, world)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn of(&self, action: Action, of_model: bool) -> impl Iterator<Item = &Expression> {
        let is_asked = move |(of, expression): &&(Action, Arc<Expression>)| {
            *of == action && expression.asks_for_model() == of_model
        };
        self.list.iter().filter(is_asked).map(|(_, expression)| &**expression)
    }
}

/// An expression whose steps are used up is no way around a rule: the request is refused, whatever the rule is.
fn is_true(expression: &Expression, world: &World<'_>) -> Result<bool, Refusal> {
    match expression.holds(world) {
        Ok(value) => Ok(value),
        Err(Failed::Valueless) => Ok(false),
        Err(Failed::Endless) => Err(Refusal::Rules),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Asked, Identity};
    use crate::wire::http1::{HeadLimits, HeadScan};
    use proptest::prelude::*;

    /// Expressions about a head, or about a model that is named `m`: true, false, without a value.
    const EXPRESSIONS: [&str; 6] = [
        "request.method == 'GET'",
        "request.method == 'PUT'",
        "jwt.sub == 'x'",
        "llm.requestModel == 'm'",
        "llm.requestModel == 'n'",
        "llm.requestModel == jwt.sub",
    ];

    fn judged(given: &[(Action, usize)], model: Option<&str>) -> Result<(), Refusal> {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let head =
            HeadScan::default().request(bytes, &HeadLimits::default()).expect("a head").expect("all of it");
        let peer = ([10, 0, 0, 1], 1).into();
        let asked = Asked { head: &head, bytes, peer, unix_ms: 0, digest: None };
        let world = World { asked: &asked, identity: &Identity::default(), model: None };
        let mut rules = Rules::default();
        for (action, place) in given {
            rules.push(*action, Arc::new(Expression::compile(EXPRESSIONS[*place]).expect("an expression")));
        }
        let allowed = rules.of_head(&world)?;
        rules.of_model(&World { model, ..world }, allowed)
    }

    #[test]
    fn rules_say_who_may() {
        use Action::{Allow, Deny, Require};
        for (rules, expected) in [
            (&[][..], true),
            (&[(Allow, 0)][..], true),
            (&[(Allow, 1)], false),
            (&[(Allow, 2)], false),
            (&[(Allow, 1), (Allow, 0)], true),
            (&[(Allow, 1), (Allow, 3)], true),
            (&[(Allow, 4), (Allow, 0)], true),
            (&[(Allow, 4)], false),
            (&[(Deny, 0), (Allow, 0)], false),
            (&[(Deny, 1)], true),
            (&[(Deny, 2)], true),
            (&[(Deny, 3), (Allow, 0)], false),
            (&[(Require, 0), (Require, 3)], true),
            (&[(Require, 0), (Require, 1)], false),
            (&[(Require, 2)], false),
            (&[(Require, 5), (Allow, 0)], false),
            (&[(Require, 0), (Allow, 1)], false),
        ] {
            assert_eq!(judged(rules, Some("m")).is_ok(), expected, "{rules:?}");
        }
        assert!(judged(&[(Allow, 3)], None).is_err() && judged(&[(Deny, 3)], None).is_ok());
    }

    proptest! {
        /// In two askings as in one, by the sentences of the reference.
        #[test]
        fn two_askings_are_one(given in proptest::collection::vec((0usize..3, 0usize..6), 0..8), named: bool) {
            let given: Vec<(Action, usize)> = given.into_iter()
                .map(|(action, place)| ([Action::Allow, Action::Deny, Action::Require][action], place)).collect();
            let is_true = |place: usize| place == 0 || place == 3 && named;
            let of = |action| given.iter().filter(move |(of, _)| *of == action).map(|(_, place)| *place);
            let no_deny = !of(Action::Deny).any(is_true);
            let all_required = of(Action::Require).all(is_true);
            let allowed = of(Action::Allow).next().is_none() || of(Action::Allow).any(is_true);
            let expected = no_deny && all_required && allowed;
            prop_assert_eq!(judged(&given, named.then_some("m")).is_ok(), expected, "{:?}", given);
        }
    }
}
