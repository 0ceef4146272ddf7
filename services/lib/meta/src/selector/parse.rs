//! The string form of label selectors.

use std::collections::BTreeSet;

use super::{Operator, Requirement, SelectorError};
use crate::content;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Error,
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

fn keyword(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Close,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        ">" => Token::Greater,
        "in" => Token::In,
        "<" => Token::Less,
        "!=" => Token::NotEquals,
        "notin" => Token::NotIn,
        "(" => Token::Open,
        _ => return None,
    })
}

fn special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn scan(text: &str) -> Vec<(Token, String)> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(blank);
    while let Some(c) = rest.chars().next().filter(|c| *c != '\0') {
        let end = if special(c) {
            symbol_end(rest)
        } else {
            rest.find(|c| special(c) || blank(c) || c == '\0').unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at(end);
        tokens.push(match keyword(word) {
            Some(token) => (token, word.to_owned()),
            None if special(c) => (Token::Error, format!("error expected: keyword found '{word}'")),
            None => (Token::Identifier, word.to_owned()),
        });
        rest = after.trim_start_matches(blank);
    }
    tokens.push((Token::End, String::new()));
    tokens
}

/// The longest run of special characters that is a token (no token has more than two).
fn symbol_end(rest: &str) -> usize {
    let two = rest.get(..2).is_some_and(|t| keyword(t).is_some());
    if two { 2 } else { 1 }
}

struct Parser {
    tokens: Vec<(Token, String)>,
    at: usize,
}

fn fail<T>(text: String) -> Result<T, SelectorError> {
    Err(SelectorError(text))
}

/// The requirements of a selector's string form.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { tokens: scan(text), at: 0 };
    let mut found = Vec::new();
    loop {
        let (token, literal) = parser.peek();
        match token {
            Token::Identifier | Token::Not => {
                let one = parser.requirement();
                found.push(one.map_err(|e| SelectorError(format!("unable to parse requirement: {}", e.0)))?);
                match parser.next() {
                    (Token::End, _) => return Ok(found),
                    (Token::Comma, _) => {
                        let (token, literal) = parser.peek();
                        if token != Token::Identifier && token != Token::Not {
                            return fail(format!("found '{literal}', expected: identifier after ','"));
                        }
                    }
                    (_, l) => return fail(format!("found '{l}', expected: ',' or 'end of string'")),
                }
            }
            Token::End => return Ok(found),
            _ => return fail(format!("found '{literal}', expected: !, identifier, or 'end of string'")),
        }
    }
}

impl Parser {
    fn raw(&self) -> (Token, String) {
        self.tokens.get(self.at).cloned().unwrap_or((Token::End, String::new()))
    }

    /// The next token where a value may stand: `in` and `notin` are identifiers there.
    fn peek(&self) -> (Token, String) {
        match self.raw() {
            (Token::In | Token::NotIn, l) => (Token::Identifier, l),
            other => other,
        }
    }

    fn next(&mut self) -> (Token, String) {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let (mut token, mut key) = self.next();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.next();
        }
        if token != Token::Identifier {
            return fail(format!("found '{key}', expected: identifier"));
        }
        let bad = content::qualified_name(&key);
        if !bad.is_empty() {
            return fail(format!("<nil>: Invalid value: {key:?}: {}", bad.join("; ")));
        }
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, BTreeSet::new());
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, BTreeSet::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.exact_value()?,
        };
        Requirement::new(&key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        let (token, literal) = self.raw();
        self.at += 1;
        Ok(match token {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            _ => return fail(format!("found '{literal}', expected: in, notin, =, ==, !=, gt, lt")),
        })
    }

    fn exact_value(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.next() {
            (Token::Identifier, l) => Ok(BTreeSet::from([l])),
            (_, l) => fail(format!("found '{l}', expected: identifier")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let (token, literal) = self.next();
        if token != Token::Open {
            return fail(format!("found '{literal}' expected: '('"));
        }
        match self.peek() {
            (Token::Identifier | Token::Comma, _) => {
                let values = self.list()?;
                match self.next() {
                    (Token::Close, _) => Ok(values),
                    (_, l) => fail(format!("found '{l}', expected: ')'")),
                }
            }
            (Token::Close, _) => {
                self.at += 1;
                Ok(BTreeSet::from([String::new()]))
            }
            (_, l) => fail(format!("found '{l}', expected: ',', ')' or identifier")),
        }
    }

    fn list(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let mut values = BTreeSet::new();
        loop {
            match self.next() {
                (Token::Identifier, l) => {
                    values.insert(l);
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, l) => return fail(format!("found '{l}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    match self.peek().0 {
                        Token::Close => {
                            values.insert(String::new());
                            return Ok(values);
                        }
                        Token::Comma => {
                            values.insert(String::new());
                        }
                        _ => {}
                    }
                }
                (_, l) => return fail(format!("found '{l}', expected: ',', or identifier")),
            }
        }
    }
}
