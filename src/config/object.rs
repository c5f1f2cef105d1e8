//! Python objects that settings hold, seen from where Python is not known, and the two types of
//! settings that hold them: hooks and classes.

use std::sync::Arc;

use super::value::Value;

/// A Python object: what configuration has to know of it. The object itself is in the registry of
/// `python::objects`.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its number in the registry, which lets go of it when no `Object` with this number is left.
    pub id: Arc<usize>,
    /// The name of its type.
    pub type_name: String,
    /// What Python's `str()` says of it.
    pub text: String,
    /// What Python's `repr()` says of it.
    pub repr: String,
    /// The module it is defined in, if it says so.
    pub module: Option<String>,
    /// Its name within that module, if it says so.
    pub qualname: Option<String>,
    pub is_class: bool,
    /// How many positional parameters it takes, or why that cannot be told; `None` if it cannot be
    /// called.
    pub arity: Option<Result<usize, String>>,
}

impl Object {
    /// The full name, as an import statement would need it: `package.module.Class`.
    pub fn path(&self) -> Option<String> {
        Some(format!("{}.{}", self.module.as_ref()?, self.qualname.as_ref()?))
    }

    /// Its own name, without that of a class or function around it.
    pub fn name(&self) -> &str {
        let name = self.qualname.as_deref().unwrap_or(&self.type_name);
        name.rsplit('.').next().unwrap_or(name)
    }
}

/// Two are equal if they are the same object.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Object {}

/// A hook: a function of the user that is called at a certain moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Not set. Holds the name by which gunicorn shows its default.
    Default(&'static str),
    Object(Object),
}

impl Default for Hook {
    fn default() -> Self {
        Self::Default("")
    }
}

impl Hook {
    /// What is to be called, if the hook is set.
    pub fn object(&self) -> Option<&Object> {
        match self {
            Self::Default(_) => None,
            Self::Object(object) => Some(object),
        }
    }
}

/// A class, given by itself or by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassRef {
    /// A short name, a dotted path, or an `egg:` URI.
    Name(String),
    Object(Object),
}

impl Default for ClassRef {
    fn default() -> Self {
        Self::Name(String::new())
    }
}

impl ClassRef {
    /// The name, if it was given by that.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Object(_) => None,
        }
    }

    /// The name, or the path of the class: whatever names it.
    pub fn path(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Object(object) => object.path(),
        }
    }

    /// The value as gunicorn holds it.
    pub fn value(&self) -> Value {
        match self {
            Self::Name(name) => name.into(),
            Self::Object(object) => Value::Object(object.clone()),
        }
    }
}

impl From<&str> for ClassRef {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

#[cfg(test)]
pub mod testing {
    use super::{Arc, Object};

    /// A function, by its name and its number of parameters.
    pub fn function(name: &str, arity: usize) -> Object {
        Object {
            id: Arc::new(0),
            type_name: "function".into(),
            text: format!("<function {name} at 0x7f>"),
            repr: format!("<function {name} at 0x7f>"),
            module: Some("conf".into()),
            qualname: Some(name.into()),
            is_class: false,
            arity: Some(Ok(arity)),
        }
    }

    /// A class, by its module and name.
    pub fn class(module: &str, name: &str) -> Object {
        let text = format!("<class '{module}.{name}'>");
        Object {
            type_name: "type".into(),
            text: text.clone(),
            repr: text,
            module: Some(module.into()),
            is_class: true,
            ..function(name, 0)
        }
    }

    /// An object that cannot be called.
    pub fn thing(type_name: &str, text: &str) -> Object {
        Object {
            type_name: type_name.into(),
            text: text.into(),
            repr: text.into(),
            module: None,
            qualname: None,
            arity: None,
            ..function(type_name, 0)
        }
    }
}
