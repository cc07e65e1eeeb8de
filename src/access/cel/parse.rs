//! Tokens to a [`Node`], by the grammar of the language (cel-spec, "Syntax"). Names are looked up on the way.

use super::calls::{FUNCTIONS, Form};
use super::lex::{Fault, Token, fault, tokens};
use super::node::{Field, Macro, Node, Operator, VARIABLES};
use super::{HEIGHT_MAX, TEXT_MAX};
use crate::access::network::Network;
use regex::RegexBuilder;
use std::net::IpAddr;

/// The most macros within each other.
pub(super) const LOCALS_MAX: usize = 4;
/// The most bytes that a compiled regular expression takes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Reads a whole expression; whether it asks for the model.
pub(super) fn parse(text: &str) -> Result<(Node, bool), Fault> {
    if text.len() > TEXT_MAX {
        return fault(0, format!("the expression has {} bytes; at most {TEXT_MAX} are allowed", text.len()));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, locals: Vec::new(), asks_for_model: false };
    let node = parser.expression()?;
    match parser.peek() {
        Token::End => Ok((node, parser.asks_for_model)),
        _ => fault(parser.place(), "the expression should end here"),
    }
}

struct Parser<'t> {
    tokens: &'t [(usize, Token<'t>)],
    at: usize,
    /// Brackets that are open.
    depth: usize,
    /// The variables of macros that are under way.
    locals: Vec<&'t str>,
    asks_for_model: bool,
}

/// What stands before `.` or `[`, or alone.
enum Operand {
    Node(Node),
    /// A variable with fields, of which one has to be named.
    Variable(&'static str, &'static [(&'static str, Field)]),
    /// `cidr(...)`, of which something has to be asked.
    Network(Network),
}

impl<'t> Parser<'t> {
    fn peek(&self) -> &'t Token<'t> {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    /// The byte where the next token is.
    fn place(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |(at, _)| *at)
    }

    fn next(&mut self) -> &'t Token<'t> {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// Whether the next token is this sign, which is then behind us.
    fn takes(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.peek(), Token::Sign(found) if *found == sign);
        self.at += usize::from(is_it);
        is_it
    }

    fn needs(&mut self, sign: &str) -> Result<(), Fault> {
        if self.takes(sign) { Ok(()) } else { fault(self.place(), format!("a {sign:?} is missing here")) }
    }

    /// A part that is not too deep.
    fn built(&self, at: usize, node: Node) -> Result<Node, Fault> {
        if node.height() > HEIGHT_MAX { too_deep(at) } else { Ok(node) }
    }

    fn expression(&mut self) -> Result<Node, Fault> {
        let at = self.place();
        self.depth += 1;
        if self.depth > HEIGHT_MAX {
            return too_deep(at);
        }
        let condition = self.or()?;
        let node = match self.takes("?") {
            false => condition,
            true => {
                let yes = self.or()?;
                self.needs(":")?;
                let no = self.expression()?;
                self.built(at, Node::If(Box::new([condition, yes, no])))?
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    fn or(&mut self) -> Result<Node, Fault> {
        self.chain("||", Parser::and, Node::Or)
    }

    fn and(&mut self) -> Result<Node, Fault> {
        self.chain("&&", Parser::relation, Node::And)
    }

    fn chain(
        &mut self,
        sign: &str,
        part: fn(&mut Parser<'t>) -> Result<Node, Fault>,
        join: fn(Box<[Node]>) -> Node,
    ) -> Result<Node, Fault> {
        let at = self.place();
        let first = part(self)?;
        let mut parts = vec![first];
        while self.takes(sign) {
            parts.push(part(self)?);
        }
        match parts.pop() {
            Some(only) if parts.is_empty() => Ok(only),
            last => {
                parts.extend(last);
                self.built(at, join(parts.into()))
            }
        }
    }

    fn relation(&mut self) -> Result<Node, Fault> {
        const SIGNS: [(&str, Operator); 6] = [
            ("==", Operator::Equal),
            ("!=", Operator::Unequal),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::MoreOrEqual),
            ("<", Operator::Less),
            (">", Operator::More),
        ];
        let mut left = self.sum()?;
        loop {
            let at = self.place();
            let is_in = *self.peek() == Token::Name("in");
            self.at += usize::from(is_in);
            let operator = match is_in {
                true => Some(Operator::In),
                false => SIGNS.iter().find(|(sign, _)| self.takes(sign)).map(|(_, operator)| *operator),
            };
            let Some(operator) = operator else { return Ok(left) };
            let right = self.sum()?;
            check_addresses(at, operator, &left, &right)?;
            left = self.built(at, Node::Binary(operator, Box::new([left, right])))?;
        }
    }

    fn sum(&mut self) -> Result<Node, Fault> {
        self.left(&[("+", Operator::Add), ("-", Operator::Subtract)], Parser::product)
    }

    fn product(&mut self) -> Result<Node, Fault> {
        let signs = [("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)];
        self.left(&signs, Parser::unary)
    }

    /// Operators that take what is on their left together.
    fn left(
        &mut self,
        signs: &[(&str, Operator)],
        part: fn(&mut Parser<'t>) -> Result<Node, Fault>,
    ) -> Result<Node, Fault> {
        let mut left = part(self)?;
        loop {
            let at = self.place();
            let Some((_, operator)) = signs.iter().find(|(sign, _)| self.takes(sign)) else {
                return Ok(left);
            };
            let right = part(self)?;
            left = self.built(at, Node::Binary(*operator, Box::new([left, right])))?;
        }
    }

    fn unary(&mut self) -> Result<Node, Fault> {
        let at = self.place();
        let (sign, make): (_, fn(Box<Node>) -> Node) = match self.peek() {
            Token::Sign("!") => ("!", Node::Not),
            Token::Sign("-") => ("-", Node::Negate),
            _ => return self.member(),
        };
        let mut count = 0;
        while self.takes(sign) {
            count += 1;
        }
        if count > HEIGHT_MAX {
            return too_deep(at);
        }
        let node = (0..count).fold(self.member()?, |node, _| make(Box::new(node)));
        self.built(at, node)
    }

    fn member(&mut self) -> Result<Node, Fault> {
        let at = self.place();
        let mut operand = self.primary()?;
        loop {
            let place = self.place();
            if self.takes(".") {
                let at_name = self.place();
                let Token::Name(name) = self.next() else {
                    return fault(at_name, "a name is missing behind the dot");
                };
                operand = match self.takes("(") {
                    true => Operand::Node(self.method(at_name, operand, name)?),
                    false => Operand::Node(self.field(at_name, operand, name)?),
                };
            } else if self.takes("[") {
                let of = alone(at, operand)?;
                let index = self.expression()?;
                self.needs("]")?;
                if matches!((&of, &index), (Node::Field(Field::Metadata), Node::Text(name)) if **name == *"key")
                {
                    return fault(place, NO_KEY);
                }
                operand = Operand::Node(Node::Index(Box::new(of), Box::new(index)));
            } else {
                return alone(at, operand);
            }
            if let Operand::Node(node) = operand {
                operand = Operand::Node(self.built(place, node)?);
            }
        }
    }

    fn field(&mut self, at: usize, of: Operand, name: &str) -> Result<Node, Fault> {
        match of {
            Operand::Variable(variable, fields) => match fields.iter().find(|(known, _)| *known == name) {
                Some((_, field)) => {
                    self.asks_for_model |= *field == Field::Model;
                    Ok(Node::Field(*field))
                }
                None => {
                    let known = listed(fields.iter().map(|(known, _)| *known));
                    fault(at, format!("{variable} has no field {name:?} here; it has {known}"))
                }
            },
            Operand::Node(Node::Field(Field::Metadata)) if name == "key" => fault(at, NO_KEY),
            Operand::Node(of) => Ok(Node::Member(Box::new(of), name.into())),
            Operand::Network(_) => fault(at, "of a network can only be asked: containsIP(...)"),
        }
    }

    fn primary(&mut self) -> Result<Operand, Fault> {
        let at = self.place();
        Ok(Operand::Node(match self.next() {
            Token::Int(value) => Node::Int(*value),
            Token::Uint(value) => Node::Uint(*value),
            Token::Double(value) => Node::Double(*value),
            Token::Text(text) => Node::Text(text.as_str().into()),
            Token::Name("true") => Node::Bool(true),
            Token::Name("false") => Node::Bool(false),
            Token::Name("null") => Node::Null,
            Token::Name(name) if self.takes("(") => return self.function(at, name),
            Token::Name(name) => return self.name(at, name),
            Token::Sign("(") => {
                let node = self.expression()?;
                self.needs(")")?;
                node
            }
            Token::Sign("[") => {
                let nodes = self.arguments("]")?;
                self.built(at, Node::List(nodes.into()))?
            }
            Token::Sign("{") => return fault(at, "maps cannot be written here"),
            Token::Sign(sign) => return fault(at, format!("{sign:?} stands where a value should be")),
            Token::End => return fault(at, "the expression ends where a value should be"),
        }))
    }

    fn name(&mut self, at: usize, name: &str) -> Result<Operand, Fault> {
        if let Some(place) = self.locals.iter().rposition(|local| *local == name) {
            return Ok(Operand::Node(Node::Local(place)));
        }
        match VARIABLES.iter().find(|(known, _)| *known == name) {
            Some(("jwt", _)) => Ok(Operand::Node(Node::Field(Field::Claims))),
            Some(("apiKey", _)) => Ok(Operand::Node(Node::Field(Field::Metadata))),
            Some((variable, fields)) => Ok(Operand::Variable(variable, fields)),
            None => {
                let known = listed(VARIABLES.iter().map(|(known, _)| *known));
                fault(at, format!("{name:?} is no variable here; there are {known}"))
            }
        }
    }

    /// Expressions up to `close`, with commas between them.
    fn arguments(&mut self, close: &str) -> Result<Vec<Node>, Fault> {
        let mut arguments = Vec::new();
        while !self.takes(close) {
            arguments.push(self.expression()?);
            if !self.takes(",") {
                self.needs(close)?;
                break;
            }
        }
        Ok(arguments)
    }

    /// A function that is called by its name alone; its bracket is open.
    fn function(&mut self, at: usize, name: &str) -> Result<Operand, Fault> {
        if name == "has" {
            let of = self.expression()?;
            self.needs(")")?;
            return match of {
                Node::Member(..) | Node::Field(_) => {
                    Ok(Operand::Node(self.built(at, Node::Has(Box::new(of)))?))
                }
                _ => fault(at, "has(...) wants a field, such as has(jwt.sub)"),
            };
        }
        let arguments = self.arguments(")")?;
        if name == "cidr" {
            let network = match arguments.as_slice() {
                [Node::Text(text)] => Network::read(text),
                _ => None,
            };
            let wrong =
                || fault(at, "cidr(...) wants a network as a text, such as '10.0.0.0/8' or '2001:db8::/32'");
            return network.map_or_else(wrong, |network| Ok(Operand::Network(network)));
        }
        self.call(at, name, Form::Alone, arguments).map(Operand::Node)
    }

    /// A function that is called on something; its bracket is open.
    fn method(&mut self, at: usize, of: Operand, name: &str) -> Result<Node, Fault> {
        const MACROS: [(&str, Macro); 3] =
            [("all", Macro::All), ("exists", Macro::Exists), ("exists_one", Macro::ExistsOne)];
        let of = match of {
            Operand::Network(network) => {
                let arguments = self.arguments(")")?;
                return match <[Node; 1]>::try_from(arguments) {
                    Ok([of]) if name == "containsIP" => Ok(Node::Within(Box::new(of), network)),
                    _ => fault(at, "of a network can only be asked: containsIP(...), with one address"),
                };
            }
            other => alone(at, other)?,
        };
        if let Some((_, each)) = MACROS.iter().find(|(known, _)| *known == name) {
            return self.each(at, *each, of);
        }
        if matches!(name, "map" | "filter") {
            return fault(at, "map and filter make lists, which is not supported: ask with exists or all");
        }
        let mut arguments = self.arguments(")")?;
        if name == "matches" {
            let regex = match arguments.as_slice() {
                [Node::Text(pattern)] => RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build(),
                _ => return fault(at, "matches(...) wants its expression as a text that is written here"),
            };
            return match regex {
                Ok(regex) => Ok(Node::Matches(Box::new(of), Box::new(regex))),
                Err(_) => fault(at, "this is no regular expression (RE2's syntax), or too large a one"),
            };
        }
        arguments.insert(0, of);
        self.call(at, name, Form::On, arguments)
    }

    fn each(&mut self, at: usize, each: Macro, of: Node) -> Result<Node, Fault> {
        let Token::Name(local) = self.next() else {
            return fault(at, "the macro wants a name first, such as g");
        };
        self.needs(",")?;
        if self.locals.len() == LOCALS_MAX {
            return fault(at, format!("at most {LOCALS_MAX} macros may stand within each other"));
        }
        self.locals.push(local);
        let body = self.expression()?;
        self.locals.pop();
        self.needs(")")?;
        Ok(Node::Each(each, Box::new([of, body])))
    }

    fn call(&mut self, at: usize, name: &str, form: Form, arguments: Vec<Node>) -> Result<Node, Fault> {
        let found = FUNCTIONS
            .iter()
            .find(|(known, _, _, as_form)| *known == name && (*as_form == form || *as_form == Form::Both));
        let Some((_, function, count, _)) = found else {
            let known = listed(FUNCTIONS.iter().map(|(known, ..)| *known));
            let more = "matches, has, cidr(...).containsIP, all, exists, exists_one";
            return fault(
                at,
                format!("{name:?} is no function that can be called so; there are {known}, {more}"),
            );
        };
        if arguments.len() != *count {
            let outer = if form == Form::On { 1 } else { 0 };
            let (wants, has) = (count - outer, arguments.len().saturating_sub(outer));
            return fault(at, format!("{name} takes {wants} arguments here, not {has}"));
        }
        self.built(at, Node::Call(*function, arguments.into()))
    }
}

const NO_KEY: &str = "the key itself cannot be asked for: it is not kept";

fn too_deep<T>(at: usize) -> Result<T, Fault> {
    fault(at, format!("more than {HEIGHT_MAX} parts stand within each other"))
}

/// What is neither a field nor a question must not be asked for.
fn alone(at: usize, operand: Operand) -> Result<Node, Fault> {
    match operand {
        Operand::Node(node) => Ok(node),
        Operand::Variable(name, fields) => {
            let known = listed(fields.iter().map(|(known, _)| *known));
            fault(at, format!("name a field of {name}: {known}"))
        }
        Operand::Network(_) => {
            fault(at, "ask something of the network: cidr(...).containsIP(source.address)")
        }
    }
}

/// An address is compared with addresses: a text that is none, such as a network, would never be equal to one.
fn check_addresses(at: usize, operator: Operator, left: &Node, right: &Node) -> Result<(), Fault> {
    let is_address = |node: &Node| matches!(node, Node::Field(Field::Address));
    let is_other = |node: &Node| matches!(node, Node::Text(text) if text.parse::<IpAddr>().is_err());
    let others = |node: &Node| match node {
        Node::List(nodes) => nodes.iter().any(is_other),
        node => is_other(node),
    };
    let is_equality = matches!(operator, Operator::Equal | Operator::Unequal | Operator::In);
    if is_equality && (is_address(left) && others(right) || is_address(right) && others(left)) {
        return fault(
            at,
            "an address is compared with an address; for networks write cidr('10.0.0.0/8').containsIP(source.address)",
        );
    }
    Ok(())
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
