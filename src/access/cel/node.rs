//! What an expression is made of.

use super::calls::Function;
use crate::access::network::Network;
use regex::Regex;

/// A part of an expression. Names are looked up, regular expressions and networks made.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
    List(Box<[Node]>),
    /// A field of the request or of who asks.
    Field(Field),
    /// The variable of a macro, by how many macros it is in.
    Local(usize),
    Member(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    /// `has(...)` of a field or a member.
    Has(Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Binary(Operator, Box<[Node; 2]>),
    If(Box<[Node; 3]>),
    Call(Function, Box<[Node]>),
    Matches(Box<Node>, Box<Regex>),
    Within(Box<Node>, Network),
    /// A macro over the elements of a list or the keys of a map; what is asked of each.
    Each(Macro, Box<[Node; 2]>),
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Method,
    Path,
    PathAndQuery,
    Host,
    Headers,
    Address,
    Port,
    /// `jwt`: a map; empty where no token was validated.
    Claims,
    /// `apiKey`: a map; empty where no key was validated.
    Metadata,
    User,
    Model,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Macro {
    All,
    Exists,
    ExistsOne,
}

/// The variables by name, each with its fields; one without any is a map of names that nobody knows before.
pub(super) const VARIABLES: [(&str, &[(&str, Field)]); 6] = [
    (
        "request",
        &[
            ("method", Field::Method),
            ("path", Field::Path),
            ("pathAndQuery", Field::PathAndQuery),
            ("host", Field::Host),
            ("headers", Field::Headers),
        ],
    ),
    ("source", &[("address", Field::Address), ("port", Field::Port)]),
    ("jwt", &[]),
    ("apiKey", &[]),
    ("basicAuth", &[("username", Field::User)]),
    ("llm", &[("requestModel", Field::Model)]),
];

impl Node {
    /// How deep it is.
    pub(super) fn height(&self) -> usize {
        let most = |nodes: &[Node]| nodes.iter().map(Node::height).max().unwrap_or(0);
        1 + match self {
            Node::Null | Node::Bool(_) | Node::Int(_) | Node::Uint(_) | Node::Double(_) | Node::Text(_) => 0,
            Node::Field(_) | Node::Local(_) => 0,
            Node::Member(of, _) | Node::Has(of) | Node::Not(of) | Node::Negate(of) => of.height(),
            Node::Matches(of, _) | Node::Within(of, _) => of.height(),
            Node::Index(of, at) => of.height().max(at.height()),
            Node::List(nodes) | Node::And(nodes) | Node::Or(nodes) | Node::Call(_, nodes) => most(nodes),
            Node::Binary(_, two) | Node::Each(_, two) => most(&two[..]),
            Node::If(three) => most(&three[..]),
        }
    }
}
