//! The layers over each other, without Python.

use super::*;
use crate::config::object::testing::function;
use std::collections::HashMap;

/// Conf files by location, instead of Python.
#[derive(Default)]
struct Files {
    files: HashMap<&'static str, Vec<(&'static str, Value)>>,
    told: Vec<String>,
}

impl ConfFile for Files {
    fn load(&mut self, location: &str) -> Result<Definitions, Error> {
        match self.files.get(location) {
            Some(values) => {
                let (settings, others): (Vec<_>, Vec<_>) = values
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .partition(|(name, _)| settings::find(name).is_some());
                let others = others.into_iter().map(|(name, _)| name).collect();
                Ok(Definitions { settings, others })
            }
            None => Err(Error::config(format!("'{location}' doesn't exist"))),
        }
    }

    /// There is one function, and it takes two parameters.
    fn resolve(&mut self, refers: Refers, value: Value) -> Result<Value, String> {
        match (refers, value) {
            (Refers::Callable, Value::Str(path)) if path == "shop.hook" => {
                Ok(function("hook", 2).into())
            }
            (Refers::Callable, Value::Str(path)) => Err(format!("no {path}")),
            (_, value) => Ok(value),
        }
    }

    fn tell(&mut self, line: &str) {
        self.told.push(line.into());
    }
}

fn conf(values: &[(&'static str, Value)]) -> Files {
    Files { files: HashMap::from([("c.py", values.to_vec())]), ..Files::default() }
}

/// Loads with a line of arguments, `NAME=VALUE` variables and conf files; starts in `/`.
fn load(line: &str, vars: &[(&str, &str)], mut files: Files) -> Result<Config, Error> {
    load_with(line, vars, &mut files)
}

fn load_with(line: &str, vars: &[(&str, &str)], files: &mut Files) -> Result<Config, Error> {
    let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    let env = |name: &str| {
        vars.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
    };
    match Config::load(&args, &env, Path::new("/"), files)? {
        Loaded::Run(config) => Ok(*config),
        Loaded::Exit(text) => panic!("exits with {text}"),
    }
}

fn refused(line: &str, vars: &[(&str, &str)], files: Files) -> String {
    let error = load(line, vars, files).unwrap_err();
    assert_eq!(error.status(), 1);
    error.report()
}

#[test]
fn stronger_layers_win_and_the_origin_is_kept() {
    let web = ("WEB_CONCURRENCY", "2");
    let args = ("GUNICORN_CMD_ARGS", "-w 4 other:app");
    let file = || conf(&[("workers", 3.into())]);
    let cases = [
        ("app:app", vec![], 1, Origin::Default),
        ("app:app", vec![web], 2, Origin::Environment("WEB_CONCURRENCY")),
        ("app:app -c c.py", vec![web], 3, Origin::File("c.py".into())),
        ("app:app -c c.py", vec![web, args], 4, Origin::CmdArgs),
        ("app:app -c c.py -w 5", vec![web, args], 5, Origin::CommandLine),
    ];
    for (line, vars, workers, origin) in cases {
        let config = load(line, &vars, file()).unwrap();
        assert_eq!((config.workers, config.origin("workers")), (workers, &origin), "{line}");
        assert_eq!(config.application(), Some("app:app"));
        assert_eq!(config.title(), "app:app");
    }
}

#[test]
fn auto_is_a_number_of_workers_in_every_layer() {
    let cpus = u32::try_from(crate::sys::cpus::usable()).unwrap();
    let web = ("WEB_CONCURRENCY", "auto");
    let args = ("GUNICORN_CMD_ARGS", "--workers auto");
    let file = || conf(&[("workers", "auto".into())]);
    for (line, vars, origin) in [
        ("app:app", vec![web], Origin::Environment("WEB_CONCURRENCY")),
        ("app:app -c c.py", vec![], Origin::File("c.py".into())),
        ("app:app", vec![args], Origin::CmdArgs),
        ("app:app -w auto", vec![], Origin::CommandLine),
    ] {
        let config = load(line, &vars, file()).unwrap();
        assert_eq!((config.workers, config.origin("workers")), (cpus, &origin), "{line}");
    }
    let error = load("app:app -w automatic", &[], file()).unwrap_err();
    assert!(error.report().contains("invalid int value: 'automatic'"), "{}", error.report());
    assert_eq!(error.status(), 2);
}

#[test]
fn lists_replace_and_do_not_extend() {
    let files = conf(&[("bind", ["a:1", "b:2"].into())]);
    let config = load("app:app -c c.py -b c:3 -b d:4", &[("PORT", "80")], files).unwrap();
    assert_eq!(config.bind, ["c:3", "d:4"]);
    let config = load("app:app", &[("PORT", "")], Files::default()).unwrap();
    assert_eq!(config.bind, ["0.0.0.0:"]);
}

#[test]
fn one_conf_file_is_taken() {
    let files = || {
        let one = ("one.py", vec![("workers", 1.into()), ("backlog", 10.into())]);
        let files = HashMap::from([one, ("two.py", vec![("workers", 2.into())])]);
        Files { files, ..Files::default() }
    };
    let vars = [("GUNICORN_CMD_ARGS", "-c two.py")];
    let config = load("app:app -c one.py", &vars, files()).unwrap();
    assert_eq!((config.workers, config.backlog), (1, 10));
    let config = load("app:app", &vars, files()).unwrap();
    assert_eq!((config.workers, config.backlog), (2, 2048));
    assert_eq!(config.config.as_deref(), Some("two.py"));
    assert_eq!(refused("app:app -c no.py", &[], files()), "\nError: 'no.py' doesn't exist\n");
}

#[test]
fn a_file_in_toml_takes_the_place_of_the_conf_file() {
    let start = tempfile::tempdir().unwrap();
    let path = start.path().join("c.toml");
    let line = |more: &str| format!("app:app -c {} {more}", path.display());
    std::fs::write(&path, "workers = 3\nbacklog = 9\nvenv = 'v'\n").unwrap();
    let config = load(&line("-w 4"), &[], Files::default()).unwrap();
    assert_eq!((config.workers, config.backlog), (4, 9));
    assert_eq!(config.origin("backlog"), &Origin::Toml(path.to_str().unwrap().into()));
    let args: Vec<OsString> = line("").split_whitespace().map(OsString::from).collect();
    assert_eq!(early(&args, &|_| None, Path::new("/")).unwrap().venv, Some("v".into()));
    std::fs::write(&path, "workers = 'x'").unwrap();
    let error = refused(&line(""), &[], Files::default());
    assert!(error.starts_with("Invalid value for workers: x\n\n\nError: invalid lit"), "{error}");
    std::fs::write(&path, "dirty_post_fork = 'shop.hook'").unwrap();
    let error = refused(&line(""), &[], Files::default());
    assert!(error.contains("'dirty_post_fork' yet (dirty_post_fork in /"), "{error}");
}

#[test]
fn the_application_comes_from_the_command_line_or_wsgi_app() {
    let files = || conf(&[("wsgi_app", "shop:app".into())]);
    let config = load("-c c.py", &[], files()).unwrap();
    assert_eq!((config.application(), config.title()), (Some("shop:app"), "gunicorn"));
    let config = load("-c c.py my:app", &[], files()).unwrap();
    assert_eq!((config.application(), config.title()), (Some("my:app"), "my:app"));
    let report = refused("", &[], conf(&[]));
    assert!(
        report.starts_with("\nError: No application module specified.\n\nName it as"),
        "{report}"
    );
}

#[test]
fn errors_name_gunicorns_text_and_the_place() {
    let file = |name: &'static str, value: Value| conf(&[(name, value)]);
    assert_eq!(
        refused("app:app -c c.py", &[], file("workers", "x".into())),
        "Invalid value for workers: x\n\n\nError: invalid literal for int() with base 0: 'x' \
         (workers in c.py)\n"
    );
    let none = Files::default;
    assert_eq!(
        refused("app:app -w -1", &[], none()),
        "\nError: Value must be positive: -1 (-w/--workers on the command line)\n"
    );
    assert_eq!(
        refused("app:app", &[("GUNICORN_CMD_ARGS", "--chdir /nowhere")], none()),
        "\nError: can't chdir to '/nowhere' (--chdir in GUNICORN_CMD_ARGS)\n"
    );
    assert_eq!(
        refused("app:app", &[("WEB_CONCURRENCY", "")], none()),
        "\nError: invalid literal for int() with base 10: '' (environment variable \
         WEB_CONCURRENCY, default of workers)\n"
    );
    assert_eq!(
        refused("app:app", &[("GUNICORN_CMD_ARGS", "-n 'x")], none()),
        "\nError: No closing quotation (in GUNICORN_CMD_ARGS)\n"
    );
    let mistyped = load("app:app", &[("GUNICORN_CMD_ARGS", "--wrokers 3")], none()).unwrap_err();
    let end = ": --wrokers (did you mean --workers?) (in GUNICORN_CMD_ARGS)\n";
    assert!(mistyped.report().ends_with(end), "{mistyped}");
}

#[test]
fn the_environment_variables_change_defaults() {
    let vars = [("FORWARDED_ALLOW_IPS", "10.0.0.0/8, *")];
    let config = load("app:app", &vars, Files::default()).unwrap();
    assert_eq!(config.forwarded_allow_ips, ["10.0.0.0/8", "*"]);
    let error = refused("app:app", &[("WEB_CONCURRENCY", "-2")], Files::default());
    assert!(error.starts_with("\nError: Value must be positive: -2 ("), "{error}");
}

#[test]
fn what_is_not_there_yet_is_refused_unless_it_asks_for_nothing() {
    let error = refused("app:app --certfile x", &[], Files::default());
    assert_eq!(
        error,
        "\nError: rgunicorn does not have the setting 'certfile' yet (--certfile on the command \
         line); remove it, or keep gunicorn for this application\n"
    );
    let error = refused("app:app", &[("GUNICORN_CMD_ARGS", "--certfile x")], Files::default());
    assert!(error.contains("(--certfile in GUNICORN_CMD_ARGS)"), "{error}");
    // The validator comes first.
    let files = conf(&[("dirty_post_fork", function("f", 3).into())]);
    let error = refused("app:app -c c.py", &[], files);
    assert!(error.contains("\nError: Value must have an arity of: 2 (dirty_post_fork in c.py)"));
    let files = conf(&[("dirty_post_fork", "shop.hook".into())]);
    let error = refused("app:app -c c.py", &[], files);
    assert!(error.contains("'dirty_post_fork' yet (dirty_post_fork in c.py)"), "{error}");
    let files = conf(&[("dirty_post_fork", "shop.other".into())]);
    let error = refused("app:app -c c.py", &[], files);
    assert!(error.ends_with("\nError: no shop.other (dirty_post_fork in c.py)\n"), "{error}");

    let files = conf(&[("http2_cleartext", false.into()), ("dirty_apps", Value::None)]);
    let line = "app:app -c c.py --no-control-socket --cert-reqs 0x0 --http-protocols H1";
    load(line, &[], files).unwrap();
    let home = ("HOME", "/home/me");
    let same = "app:app --control-socket /home/me/.gunicorn/gunicorn.ctl";
    load(same, &[home], Files::default()).unwrap();
    assert!(load(same, &[], Files::default()).is_err());
}

#[test]
fn deprecated_settings_are_told_of() {
    let mut files = Files::default();
    let config = load_with("app:app --ssl-version 2", &[], &mut files).unwrap();
    assert_eq!(config.ssl_version, "2".into());
    assert_eq!(files.told.len(), 1);
    assert!(files.told[0].starts_with("Warning: option `ssl_version` is deprecated"));
    let mut files = conf(&[("ssl_version", 2.into())]);
    load_with("app:app -c c.py", &[], &mut files).unwrap();
    assert!(files.told.is_empty());
}

#[test]
fn venv_is_known_before_any_conf_file_and_only_from_flags() {
    let args: Vec<OsString> = ["--venv", "v", "-c", "no.py"].map(OsString::from).into();
    let venv = early(&args, &|_| None, Path::new("/")).unwrap().venv;
    assert_eq!(venv, Some(PathBuf::from("v")));
    let env = |name: &str| (name == "GUNICORN_CMD_ARGS").then(|| "--venv w".to_owned());
    assert_eq!(early(&args[2..], &env, Path::new("/")).unwrap().venv, Some(PathBuf::from("w")));
    assert_eq!(early(&args, &env, Path::new("/")).unwrap().venv, Some(PathBuf::from("v")));
    assert!(
        early(&["-v".into()], &|_| None, Path::new("/")).unwrap().exit.unwrap().contains("version")
    );
    assert_eq!(early(&["--nope".into()], &|_| None, Path::new("/")).unwrap_err().status(), 2);

    let error = refused("app:app -c c.py", &[], conf(&[("venv", "v".into())]));
    assert!(error.contains("use the flag --venv"), "{error}");
}

#[test]
fn loading_again_gives_the_same() {
    let line = "app:app -c c.py -w 3";
    let values = [("timeout", 60.into())];
    let once = load(line, &[], conf(&values)).unwrap();
    assert_eq!(once, load(line, &[], conf(&values)).unwrap());
    assert_eq!(once.timeout, 60);
}

#[test]
fn the_example_is_right() {
    let line = concat!("-c ", env!("CARGO_MANIFEST_DIR"), "/examples/rgunicorn.toml");
    let config = load(line, &[], Files::default()).unwrap();
    assert_eq!((config.application(), config.threads), (Some("app:app"), 4));
}

#[test]
fn names_that_resemble_settings_are_told_of_when_checking() {
    let names = ["worker", "BIND", "log_level", "ssl_session_cache", "cpu_count", "loglevel"];
    let values = names.map(|name| (name, Value::from("debug")));
    let mut files = conf(&values);
    load_with("app:app -c c.py", &[], &mut files).unwrap();
    assert!(files.told.is_empty(), "{:?}", files.told);
    load_with("app:app true -c c.py --check-config", &[], &mut files).unwrap();
    let expected = [
        "Warning: 'worker' in the conf file is not a setting and has no effect; did you mean \
         'workers'?",
        "Warning: 'BIND' in the conf file is not a setting and has no effect; did you mean 'bind'?",
        "Warning: 'ssl_session_cache' in the conf file is not a setting and has no effect",
        "Warning: 'true' on the command line belongs to nothing and has no effect",
    ];
    assert_eq!(files.told, expected);
}
