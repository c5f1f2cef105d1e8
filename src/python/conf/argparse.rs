//! The command line against Python's argparse, given the same options.

use std::ffi::OsString;

use proptest::prelude::*;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::config::cli::{self, Parsed};
use crate::config::setting::Shape;
use crate::config::settings::{TABLE, is_gunicorns};
use crate::config::value::Value;
use crate::python::values;

/// Reads a command line with gunicorn's options.
const PROGRAM: &std::ffi::CStr = c"
import argparse, contextlib, io

def bits(text):
    return int('0o' + text[1:] if text[:1] == '0' and text[1:2].isdigit() else text, 0)

parser = argparse.ArgumentParser()
parser.add_argument('-v', '--version', action='version', version='')
parser.add_argument('args', nargs='*')
for name, flags, shape in options:
    more = {
        'on': dict(action='store_true', default=None),
        'off': dict(action='store_false', default=None),
        'int': dict(type=int), 'bits': dict(type=bits), 'many': dict(action='append'),
        'optional': dict(nargs='?', const='auto'), 'one': {},
    }[shape]
    parser.add_argument(*flags, dest=name, **more)

def read(words):
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            found = parser.parse_args(words)
    except SystemExit as exit:
        return 'exit' if exit.code == 0 else 'error'
    return found.args[:1], {name: value for name, value in vars(found).items() if value is not None and name != 'args'}
";

static READER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn reader(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let options: Vec<_> = TABLE
        .iter()
        .filter(|setting| !setting.flags.is_empty() && is_gunicorns(setting.name))
        .map(|setting| {
            let shape = match setting.shape {
                Shape::Switch(true) => "on",
                Shape::Switch(false) => "off",
                Shape::Int | Shape::IntOr(_) => "int",
                Shape::Bits => "bits",
                Shape::Many => "many",
                Shape::Optional(_) => "optional",
                Shape::None | Shape::One => "one",
            };
            (setting.name, setting.flags.to_vec(), shape)
        })
        .collect();
    let scope = PyDict::new(py);
    scope.set_item("options", options)?;
    py.run(PROGRAM, Some(&scope), None)?;
    scope.as_any().get_item("read")
}

/// What both make of words, as text.
fn theirs(read: &Bound<'_, PyAny>, words: &[&str]) -> PyResult<String> {
    let result = values::convert(&read.call1((words.to_vec(),))?)?;
    Ok(match result {
        Value::Tuple(parts) => {
            let Some(Value::Dict(options)) = parts.get(1) else {
                panic!("no options in {parts:?}")
            };
            let mut options: Vec<String> = options
                .iter()
                .map(|(name, value)| format!("{}={}", name.text(), value.repr()))
                .collect();
            options.sort();
            format!("{} {}", parts[0].text(), options.join(" "))
        }
        word => word.text(),
    })
}

fn ours(words: &[&str]) -> String {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    match cli::parse(&words) {
        Err(_) => "error".into(),
        Ok(Parsed::Exit(_)) => "exit".into(),
        Ok(Parsed::Flags(flags)) => {
            let app = Value::List(flags.app.iter().map(Value::from).collect());
            let mut options: Vec<String> = flags
                .values
                .iter()
                .map(|(name, value)| format!("{name}={}", value.repr()))
                .collect();
            options.sort();
            format!("{} {}", app.text(), options.join(" "))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn words_are_read_as_argparse_reads_them(words in proptest::collection::vec(
        proptest::sample::select(&[
            "-w", "4", "--workers", "--workers=4", "--work", "--worker-t", "-w4", "-w=4", "-b", ":80",
            "-b:80", "-n", "-", "-1", "-1.5", "-x y", "-w y", "--preload", "--prel", "--preload=1",
            "-D", "-DR", "-DRw3", "--name", "--name=", "", "--proxy-protocol", "--proxy-p=v1", "v1",
            "app:app", "--no-such", "-Z", "--max-requests-j", "--env", "A=1", "-e", "A=b c", "-m",
            "022", "0x1f", "x", "--log-file", "--no-s",
        ][..]), 0..6)
    ) {
        super::tests::with_python(|_| Python::attach(|py| {
            let read = READER.get_or_init(py, || reader(py).unwrap().unbind()).bind(py);
            prop_assert_eq!(ours(&words), theirs(read, &words).unwrap(), "{:?}", words);
            Ok(())
        }))?;
    }
}
