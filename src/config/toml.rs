//! Configuration in TOML: `rgunicorn.toml`, or the table `[tool.rgunicorn]` of `pyproject.toml`. Nothing
//! of it is executed.

use std::path::Path;

use ::toml::{Table, Value as Toml};

use super::settings;
use super::suggest::suggest;
use super::value::{Value, quoted};
use crate::error::{Error, reason};

/// The file that holds a table for each of many tools.
pub const PROJECT: &str = "pyproject.toml";

/// The settings of a file, in their order.
///
/// # Errors
/// The file cannot be read, is not TOML, or has a key that is not a setting.
pub fn load(path: &Path) -> Result<Vec<(&'static str, Value)>, Error> {
    let shown = path.display();
    if !path.exists() {
        return Err(Error::config(format!("{} doesn't exist", quoted(&shown.to_string()))));
    }
    let table = read(path)?;
    let table = if is_project(path) {
        let table = tool(table);
        table.ok_or_else(|| Error::config(format!("{shown} has no table [tool.rgunicorn]")))?
    } else {
        table
    };
    table
        .into_iter()
        .map(|(key, value)| {
            let Some(setting) = settings::find(&key) else {
                let hint = suggest(&key).map(|name| format!("; did you mean {}?", quoted(name)));
                return Err(Error::config(format!(
                    "{} is not a setting (in {shown}){}",
                    quoted(&key),
                    hint.unwrap_or_default()
                )));
            };
            let value = convert(value)
                .map_err(|problem| Error::config(format!("{problem} ({key} in {shown})")))?;
            Ok((setting.name, value))
        })
        .collect()
}

/// Whether the `pyproject.toml` of a directory has a table for us. One that cannot be read counts as
/// one that has none, unless it looks as if it had: it belongs to other tools.
///
/// # Errors
/// The file has our table, it seems, and cannot be read.
pub fn project_has_table(path: &Path) -> Result<bool, Error> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Ok(text.contains("rgunicorn") && text.contains("tool") && tool(read(path)?).is_some())
}

fn is_project(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == PROJECT)
}

fn tool(mut table: Table) -> Option<Table> {
    match table.remove("tool")? {
        Toml::Table(mut tools) => match tools.remove("rgunicorn")? {
            Toml::Table(table) => Some(table),
            _ => None,
        },
        _ => None,
    }
}

fn read(path: &Path) -> Result<Table, Error> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::config(format!("{shown} cannot be read: {}", reason(&error))))?;
    text.parse().map_err(|error: ::toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Error::config(format!("{shown} is not TOML: {} (line {line})", error.message()))
    })
}

fn convert(value: Toml) -> Result<Value, String> {
    Ok(match value {
        Toml::String(text) => text.into(),
        Toml::Integer(number) => number.into(),
        Toml::Float(number) => Value::Float(number),
        Toml::Boolean(on) => on.into(),
        Toml::Datetime(time) => return Err(format!("a time is no value for a setting: {time}")),
        Toml::Array(items) => {
            Value::List(items.into_iter().map(convert).collect::<Result<_, _>>()?)
        }
        Toml::Table(table) => {
            let items = table.into_iter().map(|(key, item)| Ok((key.into(), convert(item)?)));
            Value::Dict(items.collect::<Result<_, String>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(name: &str, text: &str) -> Result<Vec<(&'static str, Value)>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let directory = format!("{}/", directory.path().display());
        load(&path).map_err(|error| error.to_string().replace(&directory, ""))
    }

    #[test]
    fn values_have_the_types_of_a_conf_file() {
        let text = "workers = 2\nbind = ['a:1', 'b:2']\npreload_app = true\nmax_queue_time = 0.5\n\
                    [secure_scheme_headers]\nX-B = 'b'\nX-A = 'a'\n";
        let values = load_text("rgunicorn.toml", text).unwrap();
        let headers = Value::Dict(vec![("X-B".into(), "b".into()), ("X-A".into(), "a".into())]);
        let expected = [
            ("workers", 2.into()),
            ("bind", ["a:1", "b:2"].into()),
            ("preload_app", true.into()),
            ("max_queue_time", Value::Float(0.5)),
            ("secure_scheme_headers", headers),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn wrong_files_are_explained() {
        for (text, message) in [
            ("worker = 2", "'worker' is not a setting (in c.toml); did you mean 'workers'?"),
            (
                "access-logfile = '-'",
                "'access-logfile' is not a setting (in c.toml); did you mean 'accesslog'?",
            ),
            ("colour = 'red'", "'colour' is not a setting (in c.toml)"),
            (
                "workers = 1979-05-27",
                "a time is no value for a setting: 1979-05-27 (workers in c.toml)",
            ),
        ] {
            assert_eq!(load_text("c.toml", text), Err(message.into()));
        }
        let error = load_text("c.toml", "bind = ''\nworkers = = 2").unwrap_err();
        assert!(error.starts_with("c.toml is not TOML: "), "{error}");
        assert!(error.ends_with("(line 2)"), "{error}");
        let error = load(Path::new("/nowhere/c.toml")).unwrap_err();
        assert_eq!(error.report(), "\nError: '/nowhere/c.toml' doesn't exist\n");
    }

    #[test]
    fn a_project_file_has_a_table_for_us() {
        let text = "[project]\nname = 'shop'\n[tool.rgunicorn]\nworkers = 3\n[tool.other]\n";
        assert_eq!(load_text(PROJECT, text), Ok(vec![("workers", 3.into())]));
        let error = load_text(PROJECT, "[tool.other]\n").unwrap_err();
        assert_eq!(error, "pyproject.toml has no table [tool.rgunicorn]");

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(PROJECT);
        let has_table = |text: &str| {
            std::fs::write(&path, text).unwrap();
            project_has_table(&path)
        };
        assert!(!project_has_table(&directory.path().join("no.toml")).unwrap());
        assert!(has_table(text).unwrap());
        assert!(!has_table("[tool.other]\n# rgunicorn\n").unwrap());
        assert!(!has_table("= not TOML").unwrap());
        assert!(has_table("= not TOML\n[tool.rgunicorn]").is_err());
    }
}
