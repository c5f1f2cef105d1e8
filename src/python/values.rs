//! Values of settings, from Python and back.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::config::value::Value;
use crate::python::objects;

/// Deepest nesting of containers that is looked into; what lies deeper stays an object.
const DEPTH: u32 = 8;

/// A value as configuration sees it. Of other iterables than lists and tuples only the elements
/// matter, at the top; deeper down they stay what they are.
///
/// # Errors
/// What an iterable raises.
pub fn convert(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Some(value) = plain(value, DEPTH)? {
        return Ok(value);
    }
    let whole = value.is_callable()
        || value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>();
    match value.try_iter() {
        Ok(items) if !whole => {
            items.map(|item| nested(&item?, DEPTH)).collect::<PyResult<_>>().map(Value::List)
        }
        _ => Ok(Value::Object(objects::register(value))),
    }
}

fn nested(value: &Bound<'_, PyAny>, depth: u32) -> PyResult<Value> {
    let found = depth.checked_sub(1).map_or(Ok(None), |depth| plain(value, depth))?;
    Ok(found.unwrap_or_else(|| Value::Object(objects::register(value))))
}

/// A value that needs no Python: a constant, or a container.
fn plain(value: &Bound<'_, PyAny>, depth: u32) -> PyResult<Option<Value>> {
    let nested = |item: Bound<'_, PyAny>| nested(&item, depth);
    Ok(Some(if value.is_none() {
        Value::None
    } else if let Ok(on) = value.cast::<PyBool>() {
        Value::Bool(on.is_true())
    } else if let Ok(number) = value.cast::<PyInt>() {
        match value.extract() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::BigInt(number.call_method0("__repr__")?.extract()?),
        }
    } else if let Ok(number) = value.cast::<PyFloat>() {
        Value::Float(number.value())
    } else if let Ok(text) = value.cast::<PyString>() {
        // Lone surrogates have no UTF-8.
        let Ok(text) = text.to_str() else { return Ok(None) };
        text.into()
    } else if let Ok(list) = value.cast::<PyList>() {
        Value::List(list.iter().map(nested).collect::<PyResult<_>>()?)
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        Value::Tuple(tuple.iter().map(nested).collect::<PyResult<_>>()?)
    } else if let Ok(dict) = value.cast::<PyDict>() {
        // A copy, since an object in it may run code when it is registered.
        let dict = dict.copy()?;
        let items = dict.iter().map(|(key, item)| Ok((nested(key)?, nested(item)?)));
        Value::Dict(items.collect::<PyResult<_>>()?)
    } else {
        return Ok(None);
    }))
}

/// A value as a Python object.
///
/// # Errors
/// What Python raises, as for a key that cannot be one.
pub fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    let all = |items: &[Value]| {
        items.iter().map(|item| to_python(py, item)).collect::<PyResult<Vec<_>>>()
    };
    Ok(match value {
        Value::None | Value::Unset(_) => py.None().into_bound(py),
        Value::Bool(on) => on.into_pyobject(py)?.to_owned().into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::BigInt(digits) => py.import("builtins")?.getattr("int")?.call1((digits,))?,
        Value::Float(number) => number.into_pyobject(py)?.into_any(),
        Value::Str(text) => text.into_pyobject(py)?.into_any(),
        Value::List(items) => PyList::new(py, all(items)?)?.into_any(),
        Value::Tuple(items) => PyTuple::new(py, all(items)?)?.into_any(),
        Value::Dict(items) => {
            let dict = PyDict::new(py);
            for (key, item) in items {
                dict.set_item(to_python(py, key)?, to_python(py, item)?)?;
            }
            dict.into_any()
        }
        Value::Object(object) => objects::get(py, object)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_value_stays_an_object() {
        Python::initialize();
        Python::attach(|py| {
            let scope = PyDict::new(py);
            let code = c"endless = []
endless.append(endless)
class Growing:
    def __repr__(self):
        growing[len(growing)] = 1
        return 'grown'
growing = {'a': Growing(), 'b': 2}";
            py.run(code, Some(&scope), None).unwrap();
            let value = |code| convert(&py.eval(code, Some(&scope), None).unwrap()).unwrap();
            assert_eq!(value(c"-10**20"), Value::BigInt("-100000000000000000000".into()));
            assert_eq!(value(c"(1.5, [None])").text(), "(1.5, [None])");
            assert_eq!(value(c"(x * 2 for x in 'ab')"), ["aa", "bb"].into());
            assert_eq!(value(c"{'a': {1}}").text(), "{'a': {1}}");
            for (code, type_name) in [
                (c"b'x'", "bytes"),
                (c"'\\ud800'", "str"),
                (c"print", "builtin_function_or_method"),
            ] {
                let Value::Object(object) = value(code) else { panic!("{code:?} is no object") };
                assert_eq!(object.type_name, type_name);
            }
            assert_eq!(value(c"endless").type_name(), "list");
            assert_eq!(value(c"growing").text(), "{'a': grown, 'b': 2}");
        });
    }

    #[test]
    fn values_become_python_objects() {
        Python::initialize();
        Python::attach(|py| {
            let marker = objects::register(&py.import("sys").unwrap().into_any());
            let value = Value::Dict(vec![
                ("list".into(), Value::List(vec![1.into(), Value::Float(0.5), Value::None])),
                ("pair".into(), Value::Tuple(vec![true.into(), "x".into()])),
                (Value::BigInt("9".repeat(20)), Value::Object(marker)),
            ]);
            let repr = to_python(py, &value).unwrap().repr().unwrap().to_string();
            let start =
                "{'list': [1, 0.5, None], 'pair': (True, 'x'), 99999999999999999999: <module";
            assert!(repr.starts_with(start), "{repr}");
        });
    }
}
