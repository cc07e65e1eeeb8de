//! Expressions of the Common Expression Language (cel-spec, "Language Definition") over what is known of a request.
//!
//! What is here is the part of the language that says who may call: texts, numbers, lists, the fields of [`World`], the
//! operators, the macros, the functions of [`calls`]. It has bounds where a general interpreter has none: an expression
//! is at most [`TEXT_MAX`] bytes long and [`HEIGHT_MAX`] deep, an evaluation takes at most [`STEPS_MAX`] steps. Regular
//! expressions and networks are made when it is compiled, names are looked up then, and nothing is allocated where no text
//! is joined or changed.

mod calls;
mod eval;
mod lex;
mod node;
mod parse;
mod value;

#[cfg(test)]
mod tests;

pub use eval::World;

use node::Node;
use std::fmt;

/// The longest expression, in bytes (agentgateway).
pub const TEXT_MAX: usize = 16_384;
/// The deepest one: operators, calls and brackets within each other.
pub const HEIGHT_MAX: usize = 48;
/// The most steps of an evaluation: one for each part that is looked at, and for each 64 bytes of text.
pub const STEPS_MAX: u32 = 20_000;

/// An expression that was compiled.
#[derive(Debug)]
pub struct Expression {
    node: Node,
    asks_for_model: bool,
}

/// Why a text is no expression: where, counted in characters from 1, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The character.
    pub at: usize,
    /// What is wrong with it.
    pub message: String,
}

/// Why an expression has no value: a name that is not there, values of kinds that do not go together, a number too
/// large; or it has none within its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It has no value.
    Valueless,
    /// Its steps are used up: whoever asked is to say no.
    Endless,
}

impl Expression {
    /// Compiles `text`.
    ///
    /// # Errors
    /// It is no expression, or asks for what is not known here.
    pub fn compile(text: &str) -> Result<Expression, Malformed> {
        let parsed = parse::parse(text);
        parsed.map(|(node, asks_for_model)| Expression { node, asks_for_model }).map_err(|fault| {
            let before = text.get(..fault.at).unwrap_or(text);
            Malformed { at: before.chars().count() + 1, message: fault.message }
        })
    }

    /// Whether it asks which model is wanted, which a head alone does not tell.
    pub fn asks_for_model(&self) -> bool {
        self.asks_for_model
    }

    /// Whether it is true of a request.
    ///
    /// # Errors
    /// It has no value, or one that is neither true nor false.
    pub fn holds(&self, world: &World<'_>) -> Result<bool, Failed> {
        eval::holds(&self.node, world)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {}: {}", self.at, self.message)
    }
}
