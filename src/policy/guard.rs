//! What a policy's conditions begin with, where that can be seen without Cedar: so
//! that most policies of a large bundle are passed over by a comparison or two.
//!
//! Cedar reads conditions from left to right and stops at the first that does not
//! hold. A comparison of what is asked with a literal cannot fail (the bundle was
//! validated strictly), so where such a one comes first and does not hold, neither
//! does the policy, without an error. Whatever is not understood here is left to
//! Cedar, together with all that follows it.

use std::borrow::Cow;

use cedar_policy::{Policy, PrincipalConstraint, ResourceConstraint};
use serde_json::Value;

use super::question::{AGENT, Place, Question};
use crate::model::{
    body::{Body, Operation},
    origin::Origin,
};

/// The beginning of a policy's conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guard {
    tests: Vec<Test>,
    /// Whether nothing follows: the policy holds if they do.
    whole: bool,
}

/// What is known of a policy without Cedar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It applies.
    Holds,
    /// It does not.
    Fails,
    /// Cedar must say.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Flag(Flag),
    Text(Text, String),
    Like(Text, Vec<Piece>),
    Number(Number, Order, i64),
    Not(Box<Test>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Lent,
    SecondSystem,
    SameSite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Method,
    Destination,
    Page,
    Body,
    Graphql,
    Delegation,
    Origin,
    Scheme,
    Host,
    Path,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    WindowLeft,
    Hour,
    Requests,
    Writes,
    BodySize,
    Port,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Any,
    Literal(char),
}

impl Guard {
    /// Reads a policy that applies to every principal of its slice.
    pub(super) fn of(policy: &Policy) -> Self {
        // Anything but an agent by its name is left to Cedar.
        let nobody_else = match policy.principal_constraint() {
            PrincipalConstraint::Any => true,
            // Slices are per agent.
            PrincipalConstraint::Eq(uid) => uid.type_name().to_string() == AGENT,
            PrincipalConstraint::Is(_)
            | PrincipalConstraint::In(_)
            | PrincipalConstraint::IsIn(..) => false,
        };
        let anywhere = policy.resource_constraint() == ResourceConstraint::Any;
        let mut guard = Self {
            tests: Vec::new(),
            whole: nobody_else && anywhere,
        };
        let Ok(json) = policy.to_json() else {
            guard.whole = false;
            return guard;
        };
        let conditions = json.get("conditions").and_then(Value::as_array);
        for condition in conditions.into_iter().flatten() {
            let body = condition.get("body").unwrap_or(&Value::Null);
            let read = match condition.get("kind").and_then(Value::as_str) {
                Some("when") => guard.conjunction(body),
                Some("unless") => test(body)
                    .map(|test| guard.tests.push(Test::Not(Box::new(test))))
                    .is_some(),
                _ => false,
            };
            if !read {
                guard.whole = false;
                break;
            }
        }
        guard
    }

    /// Takes a conjunction in, from the left; answers whether all of it was read.
    fn conjunction(&mut self, body: &Value) -> bool {
        if let Some(both) = body.get("&&") {
            let side = |name: &str| both.get(name).unwrap_or(&Value::Null);
            return self.conjunction(side("left")) && self.conjunction(side("right"));
        }
        if *body == serde_json::json!({ "Value": true }) {
            return true;
        }
        test(body).map(|test| self.tests.push(test)).is_some()
    }

    /// What is known of the policy for that question.
    pub(super) fn known(&self, question: &Question<'_>) -> Known {
        if !self.tests.iter().all(|test| test.holds(question)) {
            Known::Fails
        } else if self.whole {
            Known::Holds
        } else {
            Known::Unknown
        }
    }

    /// Whether it looks at nothing but the act.
    pub(super) const fn is_constant(&self) -> bool {
        self.whole && self.tests.is_empty()
    }
}

impl Test {
    fn holds(&self, question: &Question<'_>) -> bool {
        match self {
            Self::Flag(flag) => match flag {
                Flag::Lent => question.lent,
                Flag::SecondSystem => question.second_system,
                Flag::SameSite => question.same_site,
            },
            Self::Text(field, wanted) => *text(question, *field) == **wanted,
            Self::Like(field, pattern) => is_like(&text(question, *field), pattern),
            Self::Number(field, order, wanted) => {
                let number = number(question, *field);
                match order {
                    Order::Equal => number == *wanted,
                    Order::Less => number < *wanted,
                    Order::LessOrEqual => number <= *wanted,
                    Order::Greater => number > *wanted,
                    Order::GreaterOrEqual => number >= *wanted,
                }
            }
            Self::Not(test) => !test.holds(question),
        }
    }
}

fn test(body: &Value) -> Option<Test> {
    let (operator, operand) = body.as_object()?.iter().next()?;
    let side = |name: &str| operand.get(name);
    match operator.as_str() {
        "!" => Some(Test::Not(Box::new(test(side("arg")?)?))),
        "." => Some(Test::Flag(flag(body)?)),
        "like" => {
            let pieces = side("pattern")?.as_array()?.iter().map(piece);
            let pattern = pieces.collect::<Option<Vec<Vec<Piece>>>>()?.concat();
            Some(Test::Like(text_named(side("left")?)?, pattern))
        }
        "==" | "!=" => {
            let equal = equal(side("left")?, side("right")?)
                .or_else(|| equal(side("right")?, side("left")?))?;
            Some(if operator == "!=" {
                Test::Not(Box::new(equal))
            } else {
                equal
            })
        }
        "<" | "<=" | ">" | ">=" => {
            let (left, right) = (side("left")?, side("right")?);
            let order = match operator.as_str() {
                "<" => (Order::Less, Order::Greater),
                "<=" => (Order::LessOrEqual, Order::GreaterOrEqual),
                ">" => (Order::Greater, Order::Less),
                _ => (Order::GreaterOrEqual, Order::LessOrEqual),
            };
            match (number_named(left), number_named(right)) {
                (Some(field), None) => {
                    Some(Test::Number(field, order.0, right.get("Value")?.as_i64()?))
                }
                (None, Some(field)) => {
                    Some(Test::Number(field, order.1, left.get("Value")?.as_i64()?))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn equal(field: &Value, literal: &Value) -> Option<Test> {
    match literal.get("Value")? {
        Value::String(wanted) => Some(Test::Text(text_named(field)?, wanted.clone())),
        Value::Number(wanted) => Some(Test::Number(
            number_named(field)?,
            Order::Equal,
            wanted.as_i64()?,
        )),
        Value::Bool(true) => Some(Test::Flag(flag(field)?)),
        Value::Bool(false) => Some(Test::Not(Box::new(Test::Flag(flag(field)?)))),
        _ => None,
    }
}

/// `"Wildcard"`, or `{"Literal": "a"}`.
fn piece(piece: &Value) -> Option<Vec<Piece>> {
    if piece == "Wildcard" {
        return Some(vec![Piece::Any]);
    }
    let literal = piece.get("Literal")?.as_str()?;
    Some(literal.chars().map(Piece::Literal).collect())
}

/// Variable and attribute of `context.x` or `resource.x`.
fn attribute(expression: &Value) -> Option<(&str, &str)> {
    let access = expression.get(".")?;
    let variable = access.get("left")?.get("Var")?.as_str()?;
    Some((variable, access.get("attr")?.as_str()?))
}

fn flag(expression: &Value) -> Option<Flag> {
    match attribute(expression)? {
        ("context", "lent") => Some(Flag::Lent),
        ("context", "secondSystem") => Some(Flag::SecondSystem),
        ("context", "sameSite") => Some(Flag::SameSite),
        _ => None,
    }
}

fn text_named(expression: &Value) -> Option<Text> {
    match attribute(expression)? {
        ("context", "method") => Some(Text::Method),
        ("context", "destination") => Some(Text::Destination),
        ("context", "page") => Some(Text::Page),
        ("context", "body") => Some(Text::Body),
        ("context", "graphql") => Some(Text::Graphql),
        ("context", "delegation") => Some(Text::Delegation),
        ("resource", "origin") => Some(Text::Origin),
        ("resource", "scheme") => Some(Text::Scheme),
        ("resource", "host") => Some(Text::Host),
        ("resource", "path") => Some(Text::Path),
        _ => None,
    }
}

fn number_named(expression: &Value) -> Option<Number> {
    match attribute(expression)? {
        ("context", "windowLeft") => Some(Number::WindowLeft),
        ("context", "hour") => Some(Number::Hour),
        ("context", "requests") => Some(Number::Requests),
        ("context", "writes") => Some(Number::Writes),
        ("context", "bodySize") => Some(Number::BodySize),
        ("resource", "port") => Some(Number::Port),
        _ => None,
    }
}

fn text<'a>(question: &'a Question<'_>, field: Text) -> Cow<'a, str> {
    match field {
        Text::Method => question.method.into(),
        Text::Destination => question.destination.into(),
        Text::Page => question
            .page
            .map(ToString::to_string)
            .unwrap_or_default()
            .into(),
        Text::Body => question.body.map_or("none", Body::kind).into(),
        Text::Graphql => match question.body.and_then(Body::graphql) {
            None => "",
            Some(Operation::Query) => "query",
            Some(Operation::Subscription) => "subscription",
            Some(Operation::Mutation) => "mutation",
        }
        .into(),
        Text::Delegation => question
            .lease
            .map(|lease| lease.delegation.to_string())
            .unwrap_or_default()
            .into(),
        Text::Origin => match question.place {
            Place::Url(url) => Origin::of(url)
                .map(|origin| origin.to_string())
                .unwrap_or_default()
                .into(),
            Place::Endpoint(..) | Place::Unknown => "".into(),
        },
        Text::Scheme => match question.place {
            Place::Url(url) => url.scheme().into(),
            Place::Endpoint(..) | Place::Unknown => "".into(),
        },
        Text::Host => match question.place {
            Place::Url(url) => url.host_str().unwrap_or_default().into(),
            Place::Endpoint(host, _) => host.into(),
            Place::Unknown => "".into(),
        },
        Text::Path => match question.place {
            Place::Url(url) => url.path().into(),
            Place::Endpoint(..) | Place::Unknown => "".into(),
        },
    }
}

fn number(question: &Question<'_>, field: Number) -> i64 {
    let most = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let lease = question.lease;
    match field {
        Number::WindowLeft => {
            lease.map_or(0, |lease| most(lease.live.left(question.now).as_secs()))
        }
        Number::Hour => most(question.hour()),
        Number::Requests => lease.map_or(0, |lease| most(lease.used().requests)),
        Number::Writes => lease.map_or(0, |lease| most(lease.used().writes)),
        Number::BodySize => question.body.map_or(0, |body| most(body.size)),
        Number::Port => match question.place {
            Place::Url(url) => url.port_or_known_default().unwrap_or_default().into(),
            Place::Endpoint(_, port) => port.into(),
            Place::Unknown => 0,
        },
    }
}

/// A wildcard stands for any run of characters; greedy, with one point to go back to.
fn is_like(text: &str, pattern: &[Piece]) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut piece) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(piece) {
            Some(Piece::Any) => {
                back = Some((at, piece + 1));
                piece += 1;
            }
            Some(Piece::Literal(c)) if text.get(at) == Some(c) => {
                at += 1;
                piece += 1;
            }
            _ => match back {
                Some((start, after)) => {
                    at = start + 1;
                    piece = after;
                    back = Some((at, after));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(piece..)
        .is_some_and(|rest| rest.iter().all(|piece| *piece == Piece::Any))
}
