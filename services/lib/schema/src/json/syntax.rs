//! What Go says about a text that is no JSON: the scanner here only finds the first mistake and names it.
//!
//! # Upstream
//! `encoding/json/scanner.go`

/// The end came too early.
const END: &str = "unexpected end of JSON input";
/// Deeper than this Go does not go.
const DEEPEST: usize = 10_000;

/// The first mistake of a text; `None` when it is JSON.
pub(super) fn mistake(bytes: &[u8]) -> Option<String> {
    let mut scanner = Scanner { bytes, at: 0, depth: 0 };
    let whole = scanner.value("looking for beginning of value").and_then(|()| {
        scanner.blanks();
        match scanner.peek() {
            Some(found) => Err(invalid(found, "after top-level value")),
            None => Ok(()),
        }
    });
    whole.err()
}

/// A character as Go quotes it.
fn quoted(found: u8) -> String {
    match found {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        0x20..=0x7e | 0xa1.. if found != 0xad => format!("'{}'", char::from(found)),
        0x80.. => format!("'\\u{found:04x}'"),
        _ => format!("'\\x{found:02x}'"),
    }
}

fn invalid(found: u8, context: &str) -> String {
    format!("invalid character {} {context}", quoted(found))
}

type Step = Result<(), String>;

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, String> {
        let found = self.peek().ok_or(END)?;
        self.at += 1;
        Ok(found)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The next character after blanks.
    fn token(&mut self) -> Result<u8, String> {
        self.blanks();
        self.next()
    }

    fn value(&mut self, context: &str) -> Step {
        match self.token()? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => self.string(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' => match self.next()? {
                b'0' => self.fraction(),
                b'1'..=b'9' => self.number(),
                found => Err(invalid(found, "in numeric literal")),
            },
            b'0' => self.fraction(),
            b'1'..=b'9' => self.number(),
            found => Err(invalid(found, context)),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Step) -> Step {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("exceeded max depth".to_owned());
        }
        inner(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self) -> Step {
        let mut first = true;
        loop {
            match self.token()? {
                b'"' => self.string()?,
                b'}' if first => return Ok(()),
                found => return Err(invalid(found, "looking for beginning of object key string")),
            }
            first = false;
            match self.token()? {
                b':' => self.value("looking for beginning of value")?,
                found => return Err(invalid(found, "after object key")),
            }
            match self.token()? {
                b',' => {}
                b'}' => return Ok(()),
                found => return Err(invalid(found, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self) -> Step {
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value("looking for beginning of value")?;
            match self.token()? {
                b',' => {}
                b']' => return Ok(()),
                found => return Err(invalid(found, "after array element")),
            }
        }
    }

    fn string(&mut self) -> Step {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let found = self.next()?;
                            if !found.is_ascii_hexdigit() {
                                return Err(invalid(found, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    found => return Err(invalid(found, "in string escape code")),
                },
                found if found < 0x20 => return Err(invalid(found, "in string literal")),
                _ => {}
            }
        }
    }

    fn word(&mut self, word: &str) -> Step {
        for wanted in word.bytes().skip(1) {
            let found = self.next()?;
            if found != wanted {
                let context = format!("in literal {word} (expecting {})", quoted(wanted));
                return Err(invalid(found, &context));
            }
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Step {
        self.digits();
        self.fraction()
    }

    /// What may follow a number's whole part.
    fn fraction(&mut self) -> Step {
        if self.peek() == Some(b'.') {
            self.at += 1;
            let found = self.next()?;
            if !found.is_ascii_digit() {
                return Err(invalid(found, "after decimal point in numeric literal"));
            }
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            let found = self.next()?;
            if !found.is_ascii_digit() {
                return Err(invalid(found, "in exponent of numeric literal"));
            }
            self.digits();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes() {
        let table = [
            (r#"{"a":[1,-2.5e3,true,null,"x\u00e9"],"b":{}}"#, ""),
            ("", END),
            (r#"{"kind": ""#, END),
            ("{,", "invalid character ',' looking for beginning of object key string"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":"b" "c"}"#, "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("noll", "invalid character 'o' in literal null (expecting 'u')"),
            ("{}x", "invalid character 'x' after top-level value"),
            ("{\"a\":\"\n\"}", r"invalid character '\n' in string literal"),
            (r#""\q""#, "invalid character 'q' in string escape code"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("-", END),
        ];
        for (text, expected) in table {
            assert_eq!(mistake(text.as_bytes()).unwrap_or_default(), expected, "{text}");
        }
    }
}
