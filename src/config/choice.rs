//! Settings that are one of a few words.

use std::marker::PhantomData;

use super::kinds::Kind;
use super::number;
use super::setting::{Scope, Shape};
use super::value::Value;

/// A type with a word for each of its values.
pub trait Choice: Copy + PartialEq + 'static {
    /// The words, in lower case, and what they mean.
    const WORDS: &'static [(&'static str, Self)];
    /// The words again, for the reference.
    const ACCEPTS: &'static str;
    /// What `None` means.
    const NONE: Self;

    /// What Python's booleans mean, if anything.
    fn of_bool(_: bool) -> Option<Self> {
        None
    }

    /// gunicorn's message for what is not text.
    fn wrong_type(value: &Value) -> String {
        format!("Invalid type for casting: {}", value.text())
    }

    /// gunicorn's message for what is none of these words; `word` is `text` as it was compared.
    fn wrong_word(word: &str, text: &str) -> String;

    /// The word for a value.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

/// One of the words of `C`, whatever their case.
pub struct OneOf<C>(PhantomData<C>);

impl<C: Choice> Kind for OneOf<C> {
    type Out = C;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = C::ACCEPTS;

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        match value {
            Value::None => Ok(C::NONE),
            Value::Bool(on) => C::of_bool(*on).ok_or_else(|| C::wrong_type(value)),
            Value::Str(text) => {
                let word = number::strip(&text.to_lowercase()).to_owned();
                let found = C::WORDS.iter().find(|(other, _)| *other == word);
                found.map(|(_, value)| *value).ok_or_else(|| C::wrong_word(&word, text))
            }
            other => Err(C::wrong_type(other)),
        }
    }

    fn value(out: &Self::Out) -> Value {
        out.word().into()
    }
}
