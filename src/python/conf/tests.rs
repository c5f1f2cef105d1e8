//! Conf files, executed by a real interpreter.

use super::*;
use crate::config::number::{self, Base, NotInt};
use proptest::prelude::*;
use pyo3::types::PyString;
use std::sync::{Mutex, PoisonError};

/// `sys.modules["__config__"]` and `sys.path` are one for all tests.
static INTERPRETER: Mutex<()> = Mutex::new(());

pub fn with_python<T>(test: impl FnOnce(&mut PythonConf) -> T) -> T {
    let _guard = INTERPRETER.lock().unwrap_or_else(PoisonError::into_inner);
    Python::initialize();
    test(&mut PythonConf::new(std::env::current_dir().unwrap()))
}

/// Loads a conf file with this text.
fn load(text: &str) -> Result<Vec<(String, Value)>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.py");
    std::fs::write(&path, text).unwrap();
    with_python(|conf| conf.load(path.to_str().unwrap())).map(|found| found.settings)
}

#[test]
fn settings_come_in_the_order_of_their_definition() {
    let text = "import os\nWORKERS = 9\nworker = 4\ntimeout = 5\nbind = ('a', 'b')\n\
                workers = 2\ntimeout = 6\ndef post_fork(server, worker): pass\n\
                secure_scheme_headers = {'A': 'b'}\npreload_app = True\nkeepalive = 1.5\n\
                pidfile = None\nraw_env = (f'{x}=1' for x in 'AB')\n";
    let values = load(text).unwrap();
    let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "timeout",
        "bind",
        "workers",
        "post_fork",
        "secure_scheme_headers",
        "preload_app",
        "keepalive",
        "pidfile",
        "raw_env",
    ];
    assert_eq!(names, expected);
    let value = |name: &str| &values.iter().find(|(other, _)| other == name).unwrap().1;
    assert_eq!(value("timeout"), &6.into());
    assert_eq!(value("bind").text(), "('a', 'b')");
    assert_eq!(value("secure_scheme_headers").text(), "{'A': 'b'}");
    assert_eq!(value("preload_app"), &true.into());
    assert_eq!(value("keepalive"), &Value::Float(1.5));
    assert_eq!(value("pidfile"), &Value::None);
    assert_eq!(value("raw_env"), &["A=1", "B=1"].into());
    let Value::Object(hook) = value("post_fork") else { panic!("not an object") };
    assert_eq!((hook.type_name.as_str(), &hook.arity), ("function", &Some(Ok(2))));
}

/// Objects are shown in messages, and their text may be made by any code.
#[test]
fn a_module_may_grow_while_it_is_read() {
    let text = "class Growing:\n    def __repr__(self):\n        globals()[f'x{len(globals())}'] = 1\n\
                \x20       return 'grown'\nlogger_class = Growing()\ntimeout = 5\n";
    let values = load(text).unwrap();
    let shown: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.text())).collect();
    assert_eq!(shown, [("logger_class", "grown".into()), ("timeout", "5".into())]);
}

#[test]
fn the_file_is_the_module_config_and_is_executed_anew_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.py");
    let location = format!("file:{}", path.to_str().unwrap());
    let text = "import sys\nassert sys.modules['__config__'].__file__ == __file__\n\
                assert __name__ == '__config__'\nproc_name = __file__\nworkers = 2\n";
    with_python(|conf| {
        std::fs::write(&path, text).unwrap();
        let values = conf.load(&location).unwrap().settings;
        assert_eq!(values[0].1.text(), path.to_str().unwrap());
        assert_eq!(values[1].1, 2.into());
        // Same size, most likely the same second.
        std::fs::write(&path, text.replace('2', "3")).unwrap();
        assert_eq!(conf.load(&location).unwrap().settings[1].1, 3.into());
        // A file that fails leaves the module of the last good one.
        std::fs::write(&path, "1/0").unwrap();
        conf.load(&location).unwrap_err();
        Python::attach(|py| {
            let module = modules(py).unwrap().get_item(MODULE).unwrap();
            assert_eq!(module.getattr("workers").unwrap().extract::<i32>().unwrap(), 3);
        });
    });
    assert!(!directory.path().join("__pycache__").exists());
}

#[test]
fn names_that_could_be_meant_as_settings_are_told() {
    let text = "import os\nfrom os import cpu_count\nworker = 4\n_thread = 1\nworkers = 1\n\
                def when_redy(server): pass\nclass Helper: pass\n";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.py");
    std::fs::write(&path, text).unwrap();
    let found = with_python(|conf| conf.load(path.to_str().unwrap())).unwrap();
    assert_eq!(found.others, ["worker", "when_redy", "Helper"]);
}

#[test]
fn dotted_paths_name_objects() {
    with_python(|conf| {
        let mut resolve = |path: &str| conf.resolve(Refers::Callable, path.into());
        let Ok(Value::Object(join)) = resolve("os.path.join") else { panic!("no object") };
        assert_eq!(join.qualname.as_deref(), Some("join"));
        for (path, message) in [
            ("join", "Value 'join' is not import string. Format: module[.submodules...].object"),
            ("os.path.nothing", "Can not load 'nothing' from 'os.path'"),
            ("rg_nowhere.f", "No module named 'rg_nowhere'"),
        ] {
            assert_eq!(resolve(path), Err(message.into()));
        }
    });
    let values = load("def worker_class(): return 'gthread'\n").unwrap();
    with_python(|conf| {
        let class = conf.resolve(Refers::Class, values[0].1.clone());
        assert_eq!(class, Ok("gthread".into()));
        assert_eq!(conf.resolve(Refers::Class, "a.B".into()), Ok("a.B".into()));
    });
    let values = load("worker_class = lambda: 1/0\n").unwrap();
    with_python(|conf| {
        let error = conf.resolve(Refers::Class, values[0].1.clone());
        assert_eq!(error, Err("division by zero".into()));
    });
}

#[test]
fn patterns_without_files_are_found() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("sub")).unwrap();
    std::fs::write(directory.path().join("sub/a.ini"), "").unwrap();
    let path = |pattern: &str| format!("{}/{pattern}", directory.path().display());
    let value = Value::from([path("**/*.ini"), path("*.ini"), path("missing"), path("[ab]?.x")]);
    let missing = with_python(|_| Python::attach(|py| unmatched(py, &value)));
    assert_eq!(missing, [path("*.ini"), path("[ab]?.x")]);
}

#[test]
fn failures_are_reported_as_gunicorn_does() {
    let error = load("x = 1\n1/0\n").unwrap_err();
    let report = error.report();
    assert_eq!(error.status(), 1);
    assert!(report.starts_with("Failed to read config file: /"), "{report}");
    assert!(report.contains("c.py\nTraceback (most recent call last):\n  File \"/"), "{report}");
    assert!(report.ends_with("\nZeroDivisionError: division by zero\n"), "{report}");
    assert!(load("def f(:").unwrap_err().report().ends_with("SyntaxError: invalid syntax\n"));

    let error = with_python(|conf| conf.load("no.py").unwrap_err());
    assert_eq!(error.report(), "\nError: 'no.py' doesn't exist\n");
}

#[test]
fn a_file_may_exit() {
    for (text, status, report) in [
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit('bye')", 1, "bye\n"),
    ] {
        let error = load(text).unwrap_err();
        assert_eq!((error.status(), error.report().as_str()), (status, report), "{text}");
    }
}

#[test]
fn any_extension_is_executed_and_a_directory_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.conf");
    std::fs::write(&path, "workers = 5").unwrap();
    with_python(|conf| {
        assert_eq!(conf.load(path.to_str().unwrap()).unwrap().settings[0].1, 5.into());
        let report = conf.load(directory.path().to_str().unwrap()).unwrap_err().report();
        assert!(report.contains("IsADirectoryError"), "{report}");
    });
}

#[test]
fn modules_are_imported_and_anew_the_second_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rg_conf_module.py");
    with_python(|conf| {
        Python::attach(|py| {
            let sys = py.import("sys").unwrap();
            sys.setattr("dont_write_bytecode", true).unwrap();
            let search = sys.getattr("path").unwrap();
            search.call_method1("insert", (0, directory.path().as_os_str())).unwrap();
        });
        std::fs::write(&path, "workers = 1\nthreads = 1\n").unwrap();
        assert_eq!(conf.load("python:rg_conf_module").unwrap().settings.len(), 2);
        std::fs::write(&path, "workers = 2\n").unwrap();
        let again = conf.load("python:rg_conf_module").unwrap().settings;
        assert_eq!(again, [("workers".to_owned(), 2.into())]);

        std::fs::write(&path, "import rg_nowhere\n").unwrap();
        let report = conf.load("python:rg_conf_module").unwrap_err().report();
        assert!(report.starts_with("Failed to read config file: python:rg_conf_module\nTrace"));
        for name in ["rg_nowhere", "rg_nowhere.sub"] {
            let error = conf.load(&format!("python:{name}")).unwrap_err();
            assert_eq!(error.report(), "\nError: No module named 'rg_nowhere'\n");
        }
    });
}

#[test]
fn the_start_directory_is_looked_in_first_and_only_once() {
    with_python(|_| {
        let here = std::env::current_dir().unwrap();
        enter(&here).unwrap();
        enter(&here).unwrap();
        Python::attach(|py| {
            let path = py.import("sys").unwrap().getattr("path").unwrap();
            let count = path.call_method1("count", (here.as_os_str(),)).unwrap();
            assert_eq!(count.extract::<usize>().unwrap(), 1);
        });
        let error = enter(Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().starts_with("can't chdir to '/nowhere': "), "{error}");
    });
}

/// What Python's own `int` says, as our reader words it.
fn python_int(py: Python<'_>, text: &str, base: u32) -> Result<i64, NotInt> {
    let int = py.import("builtins").unwrap().getattr("int").unwrap();
    let number = int.call1((text, base)).map_err(|_| NotInt::Form)?;
    number.extract().map_err(|_| NotInt::Range)
}

proptest! {
    #[test]
    fn integers_are_read_as_python_reads_them(
        text in "[ \t\x1c]{0,1}[-+]{0,1}(0[xXoObB]{0,1}){0,1}[_0-9a-f]{0,21}[ \n]{0,1}"
    ) {
        with_python(|_| Python::attach(|py| {
            prop_assert_eq!(number::int(&text, Base::Auto), python_int(py, &text, 0));
            prop_assert_eq!(number::int(&text, Base::Ten), python_int(py, &text, 10));
            Ok(())
        }))?;
    }

    #[test]
    fn text_is_quoted_as_python_quotes_it(text in "[ -~\t\r\n\0\u{7f}-\u{ff}\u{200b}\u{2028}\u{feff}'\"]{0,12}") {
        with_python(|_| Python::attach(|py| {
            let repr = PyString::new(py, &text).repr().unwrap().to_string();
            prop_assert_eq!(quoted(&text), repr);
            Ok(())
        }))?;
    }
}
