//! The format of the access log, read once: Python's `%` formatting with named values.

use super::Source;
use super::convert::{Letter, Spec};
use crate::error::Error;

/// The widest column. Nobody needs more, and each line has to be built.
const WIDEST: usize = 1000;

/// A format taken apart, ready to write lines.
#[derive(Debug)]
pub struct AccessFormat {
    pub(super) segments: Vec<Segment>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Text(String),
    /// The conversion is `None` where it adds nothing.
    Atom(Atom, Option<Spec>),
}

/// A value of the log line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Atom {
    User,
    Time,
    Request,
    Status,
    Bytes,
    /// The same as a text.
    BytesText,
    Seconds,
    Milliseconds,
    Microseconds,
    DecimalSeconds,
    /// Ours: gunicorn has no such value.
    DecimalWait,
    Pid,
    Named(Source, String),
    /// Unknown names, and `l`, which nobody has been able to fill since identd.
    Missing,
}

impl Atom {
    fn named(name: &str) -> Self {
        let environ = |name: &str| Self::Named(Source::Environ, name.to_owned());
        match name {
            "h" => environ("REMOTE_ADDR"),
            "u" => Self::User,
            "t" => Self::Time,
            "r" => Self::Request,
            "s" => Self::Status,
            "m" => environ("REQUEST_METHOD"),
            "U" => environ("PATH_INFO"),
            "q" => environ("QUERY_STRING"),
            "H" => environ("SERVER_PROTOCOL"),
            "B" => Self::Bytes,
            "b" => Self::BytesText,
            "f" => environ("HTTP_REFERER"),
            "a" => environ("HTTP_USER_AGENT"),
            "T" => Self::Seconds,
            "M" => Self::Milliseconds,
            "D" => Self::Microseconds,
            "L" => Self::DecimalSeconds,
            "W" => Self::DecimalWait,
            "p" => Self::Pid,
            _ => Self::in_braces(name).unwrap_or(Self::Missing),
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Bytes | Self::Seconds | Self::Milliseconds | Self::Microseconds)
    }

    /// `{name}i`, `{name}o`, `{name}e`.
    fn in_braces(name: &str) -> Option<Self> {
        let (name, letter) = name.strip_prefix('{')?.rsplit_once('}')?;
        match letter {
            "i" | "I" => Some(Self::Named(Source::Request, name.to_lowercase())),
            "o" | "O" => Some(Self::Named(Source::Response, name.to_lowercase())),
            "e" | "E" => Some(Self::Named(Source::Environ, name.to_owned())),
            _ => None,
        }
    }
}

impl AccessFormat {
    /// Takes a format apart.
    ///
    /// # Errors
    /// What Python's `%` would refuse for every request.
    pub fn compile(format: &str) -> Result<Self, Error> {
        let mut segments = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                text.push('%');
                rest = after;
                continue;
            }
            let mut conversion = Conversion { format, rest: after };
            let atom = conversion.read()?;
            if !text.is_empty() {
                segments.push(Segment::Text(std::mem::take(&mut text)));
            }
            segments.push(atom);
            rest = conversion.rest;
        }
        text.push_str(rest);
        if !text.is_empty() {
            segments.push(Segment::Text(text));
        }
        Ok(Self { segments })
    }
}

/// A conversion being read: what follows the percent sign.
struct Conversion<'a> {
    /// The whole format, for messages.
    format: &'a str,
    rest: &'a str,
}

impl<'a> Conversion<'a> {
    /// `(name)`, flags, width, precision, length, letter.
    fn read(&mut self) -> Result<Segment, Error> {
        let name = self.name()?;
        let mut spec = Spec::default();
        self.flags(&mut spec);
        spec.width = self.count()?.unwrap_or(0);
        if self.skip('.') {
            spec.precision = Some(self.count()?.unwrap_or(0));
        }
        // C's lengths: Python reads and ignores one.
        let _ = self.skip('h') || self.skip('l') || self.skip('L');
        let atom = Atom::named(name);
        let Some(letter) = self.next() else {
            return Err(self.refuse(&format!("'{name}' lacks a conversion. Write %({name})s")));
        };
        spec.letter = Letter::of(letter).ok_or_else(|| {
            self.refuse(&format!("'{name}' has no conversion '{letter}'. Write %({name})s"))
        })?;
        // An application may put anything into the environ.
        let may_be_number = atom.is_number()
            || matches!(&atom, Atom::Named(Source::Environ, _) if name.starts_with('{'));
        if !spec.letter.takes_text() && !may_be_number {
            return Err(self.refuse(&format!(
                "'{name}' is text, and %{letter} is for the numbers B, T, M and D. Write %({name})s"
            )));
        }
        let plain = match spec.letter {
            Letter::Text => spec.width == 0 && spec.precision.is_none(),
            Letter::Decimal => {
                atom.is_number() && spec == Spec { letter: spec.letter, ..Spec::default() }
            }
            _ => false,
        };
        Ok(Segment::Atom(atom, (!plain).then_some(spec)))
    }

    /// The name in parentheses, which may be nested.
    fn name(&mut self) -> Result<&'a str, Error> {
        if !self.skip('(') {
            return Err(self.refuse(
                "a percent sign needs a name in parentheses, as in %(h)s. Write %% for a percent sign",
            ));
        }
        let mut depth = 1;
        for (position, symbol) in self.rest.char_indices() {
            match symbol {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let name = &self.rest[..position];
                self.rest = &self.rest[position + 1..];
                return Ok(name);
            }
        }
        Err(self.refuse(&format!("the parenthesis before '{}' is never closed", self.rest)))
    }

    fn flags(&mut self, spec: &mut Spec) {
        loop {
            if self.skip('-') {
                spec.left = true;
            } else if self.skip('0') {
                spec.zero = true;
            } else if self.skip('+') {
                spec.sign = Some('+');
            } else if self.skip(' ') {
                spec.sign = spec.sign.or(Some(' '));
            } else if self.skip('#') {
                spec.alternate = true;
            } else {
                break;
            }
        }
        // Python: `-` overrides `0`.
        spec.zero &= !spec.left;
    }

    fn count(&mut self) -> Result<Option<usize>, Error> {
        let end =
            self.rest.find(|symbol: char| !symbol.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        if digits.is_empty() {
            return Ok(None);
        }
        self.rest = rest;
        match digits.parse() {
            Ok(count) if count <= WIDEST => Ok(Some(count)),
            _ => {
                Err(self.refuse(&format!("{digits} characters are too many; {WIDEST} are allowed")))
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut symbols = self.rest.chars();
        let next = symbols.next();
        self.rest = symbols.as_str();
        next
    }

    fn skip(&mut self, symbol: char) -> bool {
        let after = self.rest.strip_prefix(symbol);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn refuse(&self, why: &str) -> Error {
        Error::config(format!("The access_log_format '{}' cannot be read: {why}.", self.format))
    }
}
