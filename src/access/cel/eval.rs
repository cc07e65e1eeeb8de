//! The value of an expression for one request.

use super::calls::{Function, is_in, of_one, of_two};
use super::node::{Field, Macro, Node, Operator};
use super::parse::LOCALS_MAX;
use super::value::{List, Map, Value, compare, equal};
use super::{Failed, STEPS_MAX};
use crate::access::{Asked, Identity};
use crate::base::Span;
use crate::wire::url;
use Failed::{Endless, Valueless};
use arrayvec::ArrayVec;
use std::borrow::Cow;
use std::cmp::Ordering;

/// What an expression may ask about.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The request.
    pub asked: &'a Asked<'a>,
    /// Who asks, as far as that was validated.
    pub identity: &'a Identity<'a>,
    /// The model that the client names; `None` where that is not known, or where a request is for none.
    pub model: Option<&'a str>,
}

/// The longest text that an expression may join.
const JOINED_MAX: usize = 64 << 10;

pub(super) fn holds(node: &Node, world: &World<'_>) -> Result<bool, Failed> {
    let mut evaluation = Evaluation { world, steps: STEPS_MAX, locals: ArrayVec::new() };
    evaluation.value(node)?.as_bool()
}

/// An evaluation under way.
struct Evaluation<'a> {
    world: &'a World<'a>,
    /// Steps that are left.
    steps: u32,
    /// The variables of the macros that are under way, the outermost first.
    locals: ArrayVec<Value<'a>, LOCALS_MAX>,
}

/// A path and its query with one spelling, whatever form the target has: rules say of `/admin` what they say of `/%61dmin`, and of
/// `http://a/admin`.
fn path_and_query<'a>(asked: &Asked<'a>) -> Cow<'a, [u8]> {
    let Asked { head, bytes, .. } = *asked;
    let Some(query) = head.query else { return url::decode_unreserved(head.path_of(bytes)) };
    if !head.path.is_empty() {
        // They stand beside each other, with the `?` between them.
        return url::decode_unreserved(Span { end: query.end, ..head.path }.of(bytes));
    }
    let joined = [head.path_of(bytes), query.of(bytes)].join(&b'?');
    Cow::Owned(url::decode_unreserved(&joined).into_owned())
}

/// A host as routes compare it: in lower case, without its port and final dot.
fn host(authority: &[u8]) -> Option<Cow<'_, [u8]>> {
    let host = url::host_port(authority)?.host;
    Some(url::lower(host.strip_suffix(b".").unwrap_or(host)))
}

/// Who hears what of an error: a known answer makes up for one elsewhere (cel-spec, "Logical Operators").
fn fold(results: impl Iterator<Item = Result<bool, Failed>>, decides: bool) -> Result<bool, Failed> {
    let mut failed = None;
    for result in results {
        match result {
            Ok(value) if value == decides => return Ok(decides),
            Ok(_) => {}
            Err(Endless) => return Err(Endless),
            Err(Valueless) => failed = Some(Valueless),
        }
    }
    failed.map_or(Ok(!decides), Err)
}

impl<'a> Evaluation<'a> {
    fn spend(&mut self, bytes: usize) -> Result<(), Failed> {
        let steps = u32::try_from(bytes / 64).unwrap_or(u32::MAX).saturating_add(1);
        self.steps = self.steps.checked_sub(steps).ok_or(Endless)?;
        Ok(())
    }

    fn value(&mut self, node: &'a Node) -> Result<Value<'a>, Failed> {
        self.spend(0)?;
        match node {
            Node::Null => Ok(Value::Null),
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Int(value) => Ok(Value::Int(*value)),
            Node::Uint(value) => Ok(Value::Uint(*value)),
            Node::Double(value) => Ok(Value::Double(*value)),
            Node::Text(text) => Ok(Value::text(text)),
            Node::List(nodes) => {
                let values: Result<Vec<_>, _> = nodes.iter().map(|node| self.value(node)).collect();
                values.map(|values| Value::List(List::Made(values)))
            }
            Node::Field(field) => {
                let value = self.field(*field).ok_or(Valueless)?;
                self.spend(value.weight())?; // its spelling is looked at each time
                Ok(value)
            }
            Node::Local(place) => self.locals.get(*place).cloned().ok_or(Valueless),
            Node::Member(of, name) => {
                let of = self.value(of)?;
                self.member(&of, name).ok_or(Valueless)
            }
            Node::Index(of, at) => self.index(of, at),
            Node::Has(of) => self.has(of).map(Value::Bool),
            Node::Not(of) => Ok(Value::Bool(!self.value(of)?.as_bool()?)),
            Node::Negate(of) => match self.value(of)? {
                Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(Valueless),
                Value::Double(value) => Ok(Value::Double(-value)),
                _ => Err(Valueless),
            },
            Node::And(nodes) => {
                fold(nodes.iter().map(|node| self.value(node)?.as_bool()), false).map(Value::Bool)
            }
            Node::Or(nodes) => {
                fold(nodes.iter().map(|node| self.value(node)?.as_bool()), true).map(Value::Bool)
            }
            Node::Binary(operator, two) => self.binary(*operator, two),
            Node::If(three) => match self.value(&three[0])?.as_bool()? {
                true => self.value(&three[1]),
                false => self.value(&three[2]),
            },
            Node::Call(function, arguments) => self.call(*function, arguments),
            Node::Matches(of, regex) => {
                let of = self.value(of)?;
                self.spend(of.weight())?;
                Ok(Value::Bool(regex.is_match(of.as_text()?)))
            }
            Node::Within(of, network) => Ok(Value::Bool(network.contains(self.value(of)?.as_address()?))),
            Node::Each(each, two) => self.each(*each, two).map(Value::Bool),
        }
    }

    fn field(&self, field: Field) -> Option<Value<'a>> {
        let World { asked, identity, model } = *self.world;
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok().map(Value::text);
        let made = |bytes: Cow<'a, [u8]>| match bytes {
            Cow::Borrowed(bytes) => text(bytes),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(|text| Value::Text(Cow::Owned(text))),
        };
        let map = |map: Option<&'a serde_json::Map<_, _>>| Value::Map(map.map_or(Map::Empty, Map::Json));
        match field {
            Field::Method => text(asked.head.method_text.of(asked.bytes)),
            Field::Path => made(url::decode_unreserved(asked.head.path_of(asked.bytes))),
            Field::PathAndQuery => made(path_and_query(asked)),
            Field::Host => made(host(asked.head.host?.of(asked.bytes))?),
            Field::Headers => Some(Value::Map(Map::Headers)),
            Field::Address => Some(Value::Address(asked.peer.ip().to_canonical())),
            Field::Port => Some(Value::Int(asked.peer.port().into())),
            Field::Claims => Some(map(identity.claims.as_ref().map(|claims| &claims.all))),
            Field::Metadata => Some(map(identity.key.as_ref().map(|shown| shown.key.metadata()))),
            Field::User => identity.user.map(Value::text),
            Field::Model => model.map(Value::text),
        }
    }

    fn header(&self, name: &str) -> Option<Value<'a>> {
        let Asked { head, bytes, .. } = self.world.asked;
        let value = head.headers.get(bytes, name.as_bytes())?.of(bytes);
        std::str::from_utf8(value).ok().map(Value::text)
    }

    fn member(&self, of: &Value<'a>, name: &str) -> Option<Value<'a>> {
        match of {
            Value::Map(Map::Json(map)) => map.get(name).map(Value::of_json),
            Value::Map(Map::Headers) => self.header(name),
            _ => None,
        }
    }

    fn index(&mut self, of: &'a Node, at: &'a Node) -> Result<Value<'a>, Failed> {
        let (of, at) = (self.value(of)?, self.value(at)?);
        match (&of, &at) {
            (Value::Map(_), Value::Text(name)) => self.member(&of, name),
            (Value::List(list), Value::Int(place)) => {
                usize::try_from(*place).ok().and_then(|place| list.get(place))
            }
            (Value::List(list), Value::Uint(place)) => {
                usize::try_from(*place).ok().and_then(|place| list.get(place))
            }
            _ => None,
        }
        .ok_or(Valueless)
    }

    fn has(&mut self, of: &'a Node) -> Result<bool, Failed> {
        match of {
            Node::Field(_) => match self.value(of) {
                Err(Valueless) => Ok(false),
                value => value.map(|_| true),
            },
            Node::Member(of, name) => match self.value(of)? {
                of @ Value::Map(_) => Ok(self.member(&of, name).is_some()),
                _ => Err(Valueless),
            },
            _ => Err(Valueless),
        }
    }

    fn binary(&mut self, operator: Operator, two: &'a [Node; 2]) -> Result<Value<'a>, Failed> {
        let [left, right] = two;
        let left = self.value(left)?;
        if let (Operator::In, Node::List(nodes)) = (operator, right) {
            // A list that is written there need not be made.
            let found = fold(
                nodes.iter().map(|node| {
                    let one = self.value(node)?;
                    self.equal(&left, &one)
                }),
                true,
            );
            return found.map(Value::Bool);
        }
        let right = self.value(right)?;
        let ordered = |is: fn(Ordering) -> bool| Ok(Value::Bool(compare(&left, &right)?.is_some_and(is)));
        match operator {
            Operator::Equal => self.equal(&left, &right).map(Value::Bool),
            Operator::Unequal => self.equal(&left, &right).map(|equal| Value::Bool(!equal)),
            Operator::Less => ordered(Ordering::is_lt),
            Operator::LessOrEqual => ordered(Ordering::is_le),
            Operator::More => ordered(Ordering::is_gt),
            Operator::MoreOrEqual => ordered(Ordering::is_ge),
            Operator::In => {
                let Asked { head, bytes, .. } = self.world.asked;
                let has_header = |name: &str| head.headers.get(bytes, name.as_bytes()).is_some();
                is_in(&left, &right, has_header, |one, other| self.equal(one, other)).map(Value::Bool)
            }
            Operator::Add => match (left, right) {
                (Value::Text(left), Value::Text(right)) => {
                    self.spend(left.len() + right.len())?;
                    let joined = Some(left + right).filter(|joined| joined.len() <= JOINED_MAX);
                    joined.map(Value::Text).ok_or(Endless)
                }
                (left, right) => arithmetic(operator, &left, &right),
            },
            Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                arithmetic(operator, &left, &right)
            }
        }
    }

    fn equal(&mut self, one: &Value<'a>, other: &Value<'a>) -> Result<bool, Failed> {
        self.spend(one.weight().min(other.weight()))?;
        equal(one, other)
    }

    fn call(&mut self, function: Function, arguments: &'a [Node]) -> Result<Value<'a>, Failed> {
        match (function, arguments) {
            (Function::Default, [of, or]) => match self.value(of) {
                Err(Valueless) => self.value(or),
                other => other,
            },
            (_, [of]) => {
                let of = self.value(of)?;
                self.spend(of.weight())?;
                of_one(function, of, self.world.asked.head.headers.len())
            }
            (_, [of, argument]) => {
                let (of, argument) = (self.value(of)?, self.value(argument)?);
                self.spend(of.weight() + argument.weight())?;
                of_two(function, of.as_text()?, argument.as_text()?).map(Value::Bool)
            }
            _ => Err(Valueless),
        }
    }

    /// A macro: what is asked of each element of a list, or of each name of a map.
    fn each(&mut self, each: Macro, two: &'a [Node; 2]) -> Result<bool, Failed> {
        let [range, body] = two;
        let range = self.value(range)?;
        let len = match &range {
            Value::List(list) => list.len(),
            Value::Map(Map::Json(map)) => map.len(),
            Value::Map(Map::Empty) => 0,
            Value::Map(Map::Headers) => self.world.asked.head.headers.len(),
            _ => return Err(Valueless),
        };
        let mut names = match &range {
            Value::Map(Map::Json(map)) => Some(map.keys()),
            _ => None,
        };
        let World { asked, .. } = *self.world;
        let mut lines = asked.head.headers.iter();
        let mut next = |place: usize| match &range {
            Value::List(list) => list.get(place),
            Value::Map(Map::Headers) => {
                let name = std::str::from_utf8(lines.next()?.name.of(asked.bytes)).ok()?;
                Some(Value::Text(match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    true => Cow::Owned(name.to_ascii_lowercase()),
                    false => Cow::Borrowed(name),
                }))
            }
            _ => names.as_mut()?.next().map(|name| Value::text(name)),
        };
        let mut results = (0..len).map(|place| {
            let one = next(place).ok_or(Valueless)?;
            self.locals.try_push(one).map_err(|_| Valueless)?;
            let result = self.value(body).and_then(|value| value.as_bool());
            self.locals.pop();
            result
        });
        match each {
            Macro::All => fold(results, false),
            Macro::Exists => fold(results, true),
            // The one macro that an error within always stops (cel-spec, "Macros").
            Macro::ExistsOne => results
                .try_fold(0usize, |count, result| Ok(count + usize::from(result?)))
                .map(|count| count == 1),
        }
    }
}

/// Two numbers of one kind; what does not fit has no value.
fn arithmetic<'a>(operator: Operator, one: &Value<'a>, other: &Value<'a>) -> Result<Value<'a>, Failed> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => match operator {
            Operator::Add => one.checked_add(*other),
            Operator::Subtract => one.checked_sub(*other),
            Operator::Multiply => one.checked_mul(*other),
            Operator::Divide => one.checked_div(*other),
            Operator::Remainder => one.checked_rem(*other),
            _ => None,
        }
        .map(Value::Int),
        (Value::Uint(one), Value::Uint(other)) => match operator {
            Operator::Add => one.checked_add(*other),
            Operator::Subtract => one.checked_sub(*other),
            Operator::Multiply => one.checked_mul(*other),
            Operator::Divide => one.checked_div(*other),
            Operator::Remainder => one.checked_rem(*other),
            _ => None,
        }
        .map(Value::Uint),
        (Value::Double(one), Value::Double(other)) => match operator {
            Operator::Add => Some(one + other),
            Operator::Subtract => Some(one - other),
            Operator::Multiply => Some(one * other),
            Operator::Divide => Some(one / other),
            _ => None,
        }
        .map(Value::Double),
        _ => None,
    }
    .ok_or(Valueless)
}
