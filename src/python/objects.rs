//! The Python objects that settings hold. `config` knows them by number, because it does not know
//! Python.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use pyo3::exceptions::PyLookupError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::config::object::Object;

#[derive(Default)]
struct Registry {
    next: usize,
    /// The objects, each with what tells whether a value still refers to it.
    objects: HashMap<usize, (Weak<usize>, Py<PyAny>)>,
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

/// Runs `with` on the objects. It must not run Python code: that may let go of the interpreter lock,
/// and another thread could wait here while it holds that.
fn registry<T>(with: impl FnOnce(&mut Registry) -> T) -> T {
    with(&mut REGISTRY.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Keeps an object for as long as the result, or a copy of it, is kept. (It is let go of when the
/// next one is registered.)
pub fn register(value: &Bound<'_, PyAny>) -> Object {
    let py = value.py();
    let id = registry(|registry| {
        let id = Arc::new(registry.next);
        registry.next += 1;
        let object = (Arc::downgrade(&id), value.clone().unbind());
        registry.objects.insert(*id, object);
        id
    });
    // What is released here may run Python code as it goes.
    drop(forgotten());
    let type_name =
        value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    let text = |text: PyResult<Bound<'_, PyString>>| {
        text.and_then(|text| Ok(text.to_cow()?.into_owned()))
            .unwrap_or_else(|_| format!("<{type_name}>"))
    };
    let name = |attribute| value.getattr(attribute).ok()?.extract::<String>().ok();
    Object {
        id,
        text: text(value.str()),
        repr: text(value.repr()),
        module: name("__module__"),
        qualname: name("__qualname__"),
        is_class: value.is_instance_of::<PyType>(),
        arity: value
            .is_callable()
            .then(|| arity(value).map_err(|error| error.value(py).to_string())),
        type_name,
    }
}

/// Takes out the objects that nothing refers to any more.
fn forgotten() -> Vec<Py<PyAny>> {
    registry(|registry| {
        let gone = registry.objects.extract_if(|_, (user, _)| user.strong_count() == 0);
        gone.map(|(_, (_, object))| object).collect()
    })
}

/// The positional parameters a callable takes, those with a default included.
fn arity(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let inspect = value.py().import("inspect")?;
    let kind = inspect.getattr("Parameter")?;
    let positional = [kind.getattr("POSITIONAL_ONLY")?, kind.getattr("POSITIONAL_OR_KEYWORD")?];
    let parameters = inspect.call_method1("signature", (value,))?.getattr("parameters")?;
    let mut count = 0;
    for parameter in parameters.call_method0("values")?.try_iter()? {
        let kind = parameter?.getattr("kind")?;
        count += usize::from(positional.iter().any(|positional| positional.is(&kind)));
    }
    Ok(count)
}

/// The object that a setting holds.
///
/// # Errors
/// `LookupError` if it was not registered in this process or the one it was forked from.
pub fn get<'py>(py: Python<'py>, object: &Object) -> PyResult<Bound<'py, PyAny>> {
    registry(|registry| {
        let (_, found) = registry.objects.get(&object.id)?;
        Some(found.bind(py).clone())
    })
    .ok_or_else(|| PyLookupError::new_err(format!("{} is no longer there", object.text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pyo3::types::PyDict;

    #[test]
    fn objects_are_kept_as_long_as_they_are_referred_to() {
        Python::initialize();
        Python::attach(|py| {
            let code =
                c"def hook(a, b, /, c=1, *d, e, **f): pass\nclass K:\n  def m(self, x): pass";
            let scope = PyDict::new(py);
            py.run(code, Some(&scope), None).unwrap();
            let hook = scope.get_item("hook").unwrap().unwrap();
            let object = register(&hook);
            assert_eq!(object.arity, Some(Ok(3)));
            assert_eq!((object.qualname.as_deref(), object.is_class), (Some("hook"), false));
            assert!(object.text.starts_with("<function hook at 0x"), "{}", object.text);
            let kept = object.clone();
            drop(object);
            let class = register(&scope.get_item("K").unwrap().unwrap());
            assert!(class.is_class && class.arity == Some(Ok(0)));
            assert!(get(py, &kept).unwrap().is(&hook));
            let number = *kept.id;
            drop(kept);
            register(&py.None().into_bound(py));
            registry(|registry| {
                assert!(!registry.objects.contains_key(&number));
            });
        });
    }

    #[test]
    fn what_has_no_signature_says_so() {
        Python::initialize();
        Python::attach(|py| {
            let builtins = py.import("builtins").unwrap();
            let object = register(&builtins.getattr("iter").unwrap());
            let message = "no signature found for builtin <built-in function iter>";
            assert_eq!(object.arity, Some(Err(message.into())));
            let object = register(&builtins.getattr("NotImplemented").unwrap());
            assert_eq!(object.arity, None);
            assert_eq!(object.text, "NotImplemented");
        });
    }
}
