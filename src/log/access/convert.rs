//! Conversions of Python's `%`: what becomes of a value on its way into a line.

use std::fmt::Write as _;

use super::escape::{escape_utf8, keep_escapes_whole};

/// A conversion: what stands between the name and its letter, and the letter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Spec {
    pub left: bool,
    pub zero: bool,
    /// `#`: bases have prefixes, fractions their point.
    pub alternate: bool,
    pub sign: Option<char>,
    /// In characters; 0 if not given.
    pub width: usize,
    pub precision: Option<usize>,
    pub letter: Letter,
}

/// What a value is converted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Letter {
    /// `s`
    #[default]
    Text,
    /// `r`, and `a` where it has to be ASCII.
    Literal { ascii: bool },
    /// `d`, `i`, `u`
    Decimal,
    /// `o`
    Octal,
    /// `x`, `X`
    Hexadecimal { upper: bool },
    /// `e`, `f`, `g` and their capitals.
    Float { form: Form, upper: bool },
    /// `c`
    Character,
}

/// How a number with a fraction is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Exponent,
    Fixed,
    /// Whichever is shorter.
    General,
}

impl Letter {
    pub fn of(letter: char) -> Option<Self> {
        let upper = letter.is_ascii_uppercase();
        Some(match letter {
            's' => Self::Text,
            'r' | 'a' => Self::Literal { ascii: letter == 'a' },
            'd' | 'i' | 'u' => Self::Decimal,
            'o' => Self::Octal,
            'x' | 'X' => Self::Hexadecimal { upper },
            'e' | 'E' => Self::Float { form: Form::Exponent, upper },
            'f' | 'F' => Self::Float { form: Form::Fixed, upper },
            'g' | 'G' => Self::Float { form: Form::General, upper },
            'c' => Self::Character,
            _ => return None,
        })
    }

    /// Whether it makes something of any text.
    pub fn takes_text(self) -> bool {
        matches!(self, Self::Text | Self::Literal { .. })
    }
}

/// A value as Python has it, not escaped.
pub enum Plain {
    Text(String),
    /// What Python prints of what is no text: numbers, tuples, anything in an environ.
    Object(String),
}

impl Spec {
    /// Appends a value. What is no number is shown as text where one is asked for.
    pub fn write(&self, out: &mut Vec<u8>, value: &Plain) {
        let (text, numeric) = match value {
            Plain::Text(text) => (text, false),
            Plain::Object(text) => (text, true),
        };
        let number = match self.letter {
            Letter::Literal { ascii } => {
                let text = if numeric { escaped(text) } else { literal(text, ascii) };
                return self.cut(out, text);
            }
            Letter::Text => None,
            Letter::Character => match character(text, numeric) {
                Some(symbol) => return self.pad(out, &escaped(&symbol.to_string())),
                None => None,
            },
            _ if numeric => self.number(text),
            _ => None,
        };
        match number {
            Some((negative, prefix, digits)) => self.signed(out, negative, prefix, &digits),
            None => self.cut(out, escaped(text)),
        }
    }

    /// Appends a text, made safe before, up to the precision.
    pub fn cut(&self, out: &mut Vec<u8>, mut text: String) {
        if let Some(precision) = self.precision {
            text = text.chars().take(precision).collect();
            keep_escapes_whole(&mut text, precision);
        }
        self.pad(out, &text);
    }

    /// Sign, prefix and digits of a number.
    fn number(&self, text: &str) -> Option<(bool, &'static str, String)> {
        let whole = match text {
            "True" => Some(1),
            "False" => Some(0),
            text => text.parse::<i128>().ok(),
        };
        let (digits, prefix) = match self.letter {
            Letter::Octal => (format!("{:o}", whole?.unsigned_abs()), "0o"),
            Letter::Hexadecimal { upper: false } => (format!("{:x}", whole?.unsigned_abs()), "0x"),
            Letter::Hexadecimal { upper: true } => (format!("{:X}", whole?.unsigned_abs()), "0X"),
            Letter::Float { form, upper } => {
                #[expect(clippy::cast_precision_loss, reason = "Python rounds as well")]
                let number = whole.map(|whole| whole as f64).or_else(|| text.parse().ok())?;
                let digits = self.float(number.abs(), form);
                let digits = if upper { digits.to_ascii_uppercase() } else { digits };
                return Some((number.is_sign_negative(), "", digits));
            }
            _ => {
                let whole = match whole {
                    Some(whole) => whole,
                    None => toward_zero(text.parse().ok()?)?,
                };
                return Some((whole < 0, "", self.filled(&whole.unsigned_abs().to_string())));
            }
        };
        let prefix = if self.alternate { prefix } else { "" };
        Some((whole? < 0, prefix, self.filled(&digits)))
    }

    /// At least as many digits as the precision says.
    fn filled(&self, digits: &str) -> String {
        let missing = self.precision.unwrap_or(0).saturating_sub(digits.len());
        "0".repeat(missing) + digits
    }

    fn float(&self, number: f64, form: Form) -> String {
        if !number.is_finite() {
            return if number.is_nan() { "nan" } else { "inf" }.to_owned();
        }
        let precision = self.precision.unwrap_or(6);
        match form {
            Form::Exponent => self.exponent(number, precision),
            Form::Fixed => self.pointed(format!("{number:.precision$}")),
            Form::General => {
                let figures = precision.max(1);
                let exponent = exponent_of(&format!("{number:.*e}", figures - 1));
                let text = match usize::try_from(exponent + 4) {
                    // Behind the point stands what the digits before it leave.
                    Ok(above) if above < figures + 4 => {
                        let behind = figures + 3 - above;
                        self.pointed(format!("{number:.behind$}"))
                    }
                    _ => self.exponent(number, figures - 1),
                };
                if self.alternate { text } else { without_zeros(&text) }
            }
        }
    }

    /// The exponent has a sign and at least two digits.
    fn exponent(&self, number: f64, precision: usize) -> String {
        let text = format!("{number:.precision$e}");
        let exponent = exponent_of(&text);
        let mantissa = text.split('e').next().unwrap_or_default().to_owned();
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", self.pointed(mantissa), exponent.unsigned_abs())
    }

    fn pointed(&self, mut number: String) -> String {
        if self.alternate && !number.contains('.') {
            number.push('.');
        }
        number
    }

    fn signed(&self, out: &mut Vec<u8>, negative: bool, prefix: &str, digits: &str) {
        let mut text = String::new();
        text.extend(if negative { Some('-') } else { self.sign });
        text.push_str(prefix);
        if self.zero {
            let missing = self.width.saturating_sub(text.len() + digits.len());
            text.extend(std::iter::repeat_n('0', missing));
        }
        text.push_str(digits);
        self.pad(out, &text);
    }

    fn pad(&self, out: &mut Vec<u8>, text: &str) {
        let padding = self.width.saturating_sub(text.chars().count());
        let spaces = std::iter::repeat_n(b' ', padding);
        if self.left {
            out.extend_from_slice(text.as_bytes());
            out.extend(spaces);
        } else {
            out.extend(spaces);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The one character of a text, or the one with that number.
fn character(text: &str, numeric: bool) -> Option<char> {
    if numeric {
        return text.parse().ok().and_then(char::from_u32);
    }
    let mut symbols = text.chars();
    symbols.next().filter(|_| symbols.next().is_none())
}

fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    escape_utf8(&mut out, text);
    String::from_utf8_lossy(&out).into_owned()
}

/// A whole number, if a float has one that can be written.
fn toward_zero(number: f64) -> Option<i128> {
    // Beyond 2^100 nobody counts, and no digit is lost by then.
    #[expect(clippy::cast_possible_truncation, reason = "this is what it is for")]
    (number.abs() < 1e30).then_some(number as i128)
}

fn exponent_of(text: &str) -> i32 {
    text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

/// Takes zeros from the end of a fraction, and a point that nothing follows.
fn without_zeros(text: &str) -> String {
    let (number, exponent) = text.find('e').map_or((text, ""), |at| text.split_at(at));
    if !number.contains('.') {
        return text.to_owned();
    }
    number.trim_end_matches('0').trim_end_matches('.').to_owned() + exponent
}

/// A text as a Python literal. Both kinds of quotes are escaped, so that it can stand between quotes
/// of the format without ending them.
fn literal(text: &str, ascii: bool) -> String {
    let mut out = String::from("'");
    for symbol in text.chars() {
        match symbol {
            '\\' | '\'' | '"' => out.extend(['\\', symbol]),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            ' '..='~' => out.push(symbol),
            _ if !ascii && !symbol.is_ascii() && symbol.escape_debug().len() == 1 => {
                out.push(symbol);
            }
            _ => {
                let code = u32::from(symbol);
                // Writing to a string does not fail.
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::{Letter, Plain, Spec};

    fn written(spec: &Spec, value: &Plain) -> String {
        let mut out = Vec::new();
        spec.write(&mut out, value);
        String::from_utf8(out).expect("UTF-8")
    }

    fn number(letter: char, precision: Option<usize>, alternate: bool, text: &str) -> String {
        let letter = Letter::of(letter).expect("a letter of Python's");
        let spec = Spec { alternate, precision, letter, ..Spec::default() };
        written(&spec, &Plain::Object(text.to_owned()))
    }

    /// The expected texts are what Python prints.
    #[test]
    fn numbers_are_pythons() {
        for (letter, precision, alternate, text, expected) in [
            ('e', None, false, "255", "2.550000e+02"),
            ('E', Some(0), true, "255", "3.E+02"),
            ('e', None, false, "0", "0.000000e+00"),
            ('e', Some(2), false, "1.5e-300", "1.50e-300"),
            ('g', None, false, "255", "255"),
            ('g', Some(2), false, "255", "2.6e+02"),
            ('g', None, true, "255", "255.000"),
            ('g', Some(0), false, "255", "3e+02"),
            ('g', None, false, "0.0001", "0.0001"),
            ('g', None, false, "0.00001", "1e-05"),
            ('g', None, false, "999999.5", "1e+06"),
            ('g', None, false, "99999.96", "100000"),
            ('g', None, false, "0", "0"),
            ('G', None, false, "1e-7", "1E-07"),
            ('f', Some(3), false, "0.0125", "0.013"),
            ('f', Some(1), false, "0.25", "0.2"),
            ('f', Some(0), true, "255", "255."),
            ('f', None, false, "-0.0", "-0.000000"),
            ('f', None, false, "inf", "inf"),
            ('F', None, false, "nan", "NAN"),
            ('d', None, false, "-5.7", "-5"),
            ('d', None, false, "True", "1"),
            (
                'd',
                None,
                false,
                "1000000000000000000000000000000",
                "1000000000000000000000000000000",
            ),
            ('x', None, true, "-255", "-0xff"),
            ('X', Some(5), true, "255", "0X000FF"),
            ('o', None, true, "0", "0o0"),
            ('c', None, false, "255", "\u{ff}"),
            ('c', None, false, "10", "\\x0a"),
            ('r', Some(1), false, "255", "2"),
        ] {
            assert_eq!(number(letter, precision, alternate, text), expected, "{letter} {text}");
        }
    }

    #[test]
    fn what_is_no_number_is_text() {
        for (letter, text) in
            [('d', "inf"), ('x', "1.5"), ('d', "(1, 0)"), ('f', "None"), ('c', "-1"), ('d', "")]
        {
            assert_eq!(number(letter, None, false, text), text, "{letter}");
        }
        let spec = Spec { letter: Letter::Decimal, zero: true, width: 4, ..Spec::default() };
        assert_eq!(written(&spec, &Plain::Text("5".to_owned())), "   5");
    }

    #[test]
    fn literals_end_no_quotes() {
        for (text, repr, ascii) in [
            ("plain", "'plain'", "'plain'"),
            ("it's \"so\"", r#"'it\'s \"so\"'"#, r#"'it\'s \"so\"'"#),
            ("a\\b\t\r\n\0\x7f", r"'a\\b\t\r\n\x00\x7f'", r"'a\\b\t\r\n\x00\x7f'"),
            ("\u{e9}\u{a0}\u{ad}\u{85}", "'\u{e9}\\xa0\\xad\\x85'", r"'\xe9\xa0\xad\x85'"),
            (
                "\u{4e2d}\u{2028}\u{1f600}",
                "'\u{4e2d}\\u2028\u{1f600}'",
                r"'\u4e2d\u2028\U0001f600'",
            ),
        ] {
            for (ascii, expected) in [(false, repr), (true, ascii)] {
                let spec = Spec { letter: Letter::Literal { ascii }, ..Spec::default() };
                assert_eq!(written(&spec, &Plain::Text(text.to_owned())), expected);
            }
        }
        let spec = Spec {
            letter: Letter::Literal { ascii: false },
            precision: Some(4),
            ..Spec::default()
        };
        assert_eq!(written(&spec, &Plain::Text("ab\"".to_owned())), "'ab");
    }
}
