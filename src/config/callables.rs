//! Settings that hold Python objects: hooks, classes, and what is taken as it is.

use super::kinds::{Kind, text};
use super::object::{ClassRef, Hook};
use super::setting::{Refers, Scope, Shape};
use super::value::Value;

/// A function with `N` positional parameters. Conf file only.
pub struct Callback<const N: usize>;

impl<const N: usize> Kind for Callback<N> {
    type Out = Hook;
    const SHAPE: Shape = Shape::None;
    const REFERS: Refers = Refers::Callable;
    const ACCEPTS: &'static str = match N {
        1 => "callable with 1 parameter, or the dotted path of one",
        2 => "callable with 2 parameters, or the dotted path of one",
        3 => "callable with 3 parameters, or the dotted path of one",
        _ => "callable, or the dotted path of one",
    };

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        hook(value, |arity| arity == N, N)
    }

    fn value(out: &Self::Out) -> Value {
        shown(out)
    }
}

/// The hook that follows a request: it takes worker and request, and may take the environ and the
/// response as well.
pub struct AfterRequest;

impl AfterRequest {
    const MOST: usize = 4;
}

impl Kind for AfterRequest {
    type Out = Hook;
    const SHAPE: Shape = Shape::None;
    const REFERS: Refers = Refers::Callable;
    const ACCEPTS: &'static str = "callable with 2, 3 or 4 parameters, or the dotted path of one";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        hook(value, |arity| (2..=Self::MOST).contains(&arity), Self::MOST)
    }

    /// gunicorn wraps the forms with fewer parameters, and shows the wrapper.
    fn value(out: &Self::Out) -> Value {
        let Some(object) = out.object() else { return shown(out) };
        let mut object = object.clone();
        if object.arity != Some(Ok(Self::MOST)) {
            object.qualname = Some("validate_post_request.<locals>.<lambda>".into());
        }
        Value::Object(object)
    }
}

fn hook(value: &Value, fits: impl Fn(usize) -> bool, arity: usize) -> Result<Hook, String> {
    let not_callable = || format!("Value is not callable: {}", value.text());
    match value {
        Value::Unset(name) => Ok(Hook::Default(name)),
        Value::Object(object) => match &object.arity {
            None => Err(not_callable()),
            Some(Err(message)) => Err(message.clone()),
            Some(Ok(count)) if fits(*count) => Ok(Hook::Object(object.clone())),
            Some(Ok(_)) => Err(format!("Value must have an arity of: {arity}")),
        },
        _ => Err(not_callable()),
    }
}

fn shown(hook: &Hook) -> Value {
    match hook {
        Hook::Default(name) => Value::Unset(name),
        Hook::Object(object) => Value::Object(object.clone()),
    }
}

/// A class, or its name. Whether there is such a class shows when it is used.
pub struct Class;

impl Kind for Class {
    type Out = ClassRef;
    const SHAPE: Shape = Shape::One;
    const REFERS: Refers = Refers::Class;
    const ACCEPTS: &'static str = "class, its dotted path, or a function that returns it";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        match value {
            Value::Object(object) if object.is_class => Ok(ClassRef::Object(object.clone())),
            value => text(value).map(ClassRef::Name),
        }
    }

    fn value(out: &Self::Out) -> Value {
        out.value()
    }
}

/// A dict of anything. Conf file only.
pub struct Dictionary;

impl Kind for Dictionary {
    /// A [`Value::Dict`].
    type Out = Value;
    const SHAPE: Shape = Shape::None;
    const ACCEPTS: &'static str = "dict";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        match value {
            Value::Dict(_) => Ok(value.clone()),
            other => Err(format!("Value is not a dictionary: {} ", other.text())),
        }
    }

    fn value(out: &Self::Out) -> Value {
        out.clone()
    }
}

/// Anything at all.
pub struct Anything;

impl Kind for Anything {
    type Out = Value;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "anything";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        Ok(value.clone())
    }

    fn value(out: &Self::Out) -> Value {
        out.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::testing::{class, function, thing};
    use super::*;
    use std::path::Path;

    fn parse<K: Kind>(value: impl Into<Value>) -> Result<K::Out, String> {
        K::parse(&value.into(), &Scope { start: Path::new("/"), conf_file: true })
    }

    #[test]
    fn hooks_need_the_right_number_of_parameters() {
        let two = function("pre_fork", 2);
        let hook = parse::<Callback<2>>(two.clone()).unwrap();
        assert_eq!(hook.object(), Some(&two));
        assert_eq!(Callback::<2>::value(&hook).shown(), "<pre_fork()>");
        let error = parse::<Callback<1>>(two).unwrap_err();
        assert_eq!(error, "Value must have an arity of: 1");
        let error = parse::<Callback<1>>(thing("Thing", "a thing")).unwrap_err();
        assert_eq!(error, "Value is not callable: a thing");
        assert_eq!(parse::<Callback<1>>(Value::None), Err("Value is not callable: None".into()));
        let unset = parse::<Callback<1>>(Value::Unset("OnExit.on_exit")).unwrap();
        assert_eq!(Callback::<1>::value(&unset).shown(), "<OnExit.on_exit()>");
        assert_eq!(unset.object(), None);
    }

    #[test]
    fn post_request_takes_two_to_four() {
        let lambda = "<validate_post_request.<locals>.<lambda>()>";
        for (arity, shown) in [(2, lambda), (3, lambda), (4, "<done()>")] {
            let hook = parse::<AfterRequest>(function("done", arity)).unwrap();
            assert_eq!(AfterRequest::value(&hook).shown(), shown);
        }
        for arity in [0, 1, 5] {
            let error = parse::<AfterRequest>(function("done", arity)).unwrap_err();
            assert_eq!(error, "Value must have an arity of: 4");
        }
    }

    #[test]
    fn classes_come_by_themselves_or_by_name() {
        let logger = class("shop.logs", "Logger");
        let given = parse::<Class>(logger.clone()).unwrap();
        assert_eq!(given, ClassRef::Object(logger.clone()));
        assert_eq!(given.value().shown(), "<Logger()>");
        assert_eq!(logger.path().as_deref(), Some("shop.logs.Logger"));
        assert_eq!(parse::<Class>(" a.B "), Ok("a.B".into()));
        assert_eq!(parse::<Class>(3), Err("Not a string: 3".into()));
        assert_eq!(
            parse::<Class>(function("f", 0)),
            Err("Not a string: <function f at 0x7f>".into())
        );
    }

    #[test]
    fn dictionaries() {
        let dict = Value::Dict(vec![("version".into(), 1.into())]);
        assert_eq!(parse::<Dictionary>(dict.clone()), Ok(dict));
        assert_eq!(parse::<Dictionary>("x"), Err("Value is not a dictionary: x ".into()));
    }
}
