//! The binary on a Debian where libpython is missing, is not what it should be, or is somewhere else:
//! `docs/install.md#the-binary`.

use std::path::Path;

use crate::debian::{COMMAND, PACKAGES, with_binary};
use crate::docker::{copy, run};
use crate::root::Layer;

/// A Debian into which the binary was copied.
struct Machine {
    layer: Layer,
    /// The version of Python that it is for.
    version: String,
    /// The name of its libpython.
    library: String,
    /// The directory where that was when it was built.
    built_with: String,
}

/// What became of a command.
struct Outcome {
    status: Option<i32>,
    out: String,
    err: String,
}

/// In a shell, with nothing in the environment.
fn shell(layer: &Layer, command: &str) -> Outcome {
    let mut inside = layer.enter(&[], "");
    inside.args(["/usr/bin/env", "-i", "--chdir=/srv", "PATH=/usr/local/bin:/usr/bin:/bin"]);
    let output = inside.args(["/bin/sh", "-euc", command]).output().expect("there is unshare");
    Outcome {
        status: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Imports a module that is written in C.
const APPLICATION: &str = "import math\ndef app(environ, start_response): ...\n";

impl Machine {
    fn new() -> Self {
        let there = with_binary().continued();
        let ask = |what: &str| {
            let script = format!("import sysconfig as s; print(s.get_config_var('{what}'))");
            let outcome = shell(&there, &format!("python3 -c \"{script}\""));
            assert_eq!(outcome.status, Some(0), "{}", outcome.err);
            outcome.out.trim().to_owned()
        };
        let machine = Self {
            layer: Layer::of_debian(),
            version: ask("py_version_short"),
            library: ask("INSTSONAME"),
            built_with: ask("LIBDIR"),
        };
        let binary = there.find(COMMAND);
        copy(&binary, &machine.layer, Path::new(COMMAND));
        machine.shell(&format!("mkdir /opt/lib; printf '{APPLICATION}' >app.py"));
        machine
    }

    #[track_caller]
    fn shell(&self, command: &str) {
        let outcome = shell(&self.layer, command);
        assert_eq!(outcome.status, Some(0), "{command}: {}", outcome.err);
    }

    /// A command that works without Python.
    #[track_caller]
    fn answers(&self, arguments: &str, status: i32, start: &str) {
        let outcome = shell(&self.layer, &format!("rgunicorn {arguments}"));
        let (out, err) = (outcome.out, outcome.err);
        assert_eq!(outcome.status, Some(status), "{arguments}: {err}");
        let text = if status == 0 { &out } else { &err };
        assert!(text.starts_with(start), "{arguments}: {out}{err}");
    }

    /// A command that ends with the explanation. `variable` is assigned for it.
    #[track_caller]
    fn explains(&self, variable: &str, arguments: &str, reason: &str) {
        let outcome = shell(&self.layer, &format!("{variable} rgunicorn {arguments}"));
        let (out, err) = (outcome.out, outcome.err);
        assert_eq!((outcome.status, out.as_str()), (Some(1), ""), "{arguments}: {err}");
        let Self { version, library, built_with, .. } = self;
        let sentence = format!(
            "Error: this rgunicorn needs the shared library of Python {version}, {library}, "
        );
        assert!(err.trim_start().starts_with(&sentence), "{arguments}: {err}");
        let places = variable.strip_prefix("LD_LIBRARY_PATH=").map(|path| format!(" ({path})"));
        for part in [
            reason,
            &format!("in LD_LIBRARY_PATH{}, in {built_with}, ", places.unwrap_or_default()),
            &format!("apt install libpython{version}"),
        ] {
            assert!(err.contains(part), "{arguments}: {part} in {err}");
        }
    }

    #[track_caller]
    fn works(&self, variable: &str) {
        let outcome = shell(&self.layer, &format!("{variable} rgunicorn --check-config app:app"));
        assert_eq!((outcome.status, outcome.err.as_str()), (Some(0), ""), "{variable}");
    }
}

#[test]
#[ignore = "run by tests/system/run"]
fn a_missing_library_is_explained_and_the_advice_is_good() {
    let machine = Machine::new();
    let Machine { version, library, .. } = &machine;

    // What needs no Python works.
    machine.answers(
        "--version",
        0,
        &format!("rgunicorn (version {})\n", env!("CARGO_PKG_VERSION")),
    );
    machine.answers("-h", 0, "usage: rgunicorn ");
    machine.answers("--help", 0, "usage: rgunicorn ");
    machine.answers("--workers many", 2, "usage: rgunicorn ");

    // It is not there.
    let missing = format!("{library}: cannot open shared object file");
    for arguments in
        ["app:app", "--check-config app:app", "--print-config", "-w 3 --preload app:app"]
    {
        machine.explains("", arguments, &missing);
    }
    machine.explains("LD_LIBRARY_PATH=/opt/lib", "app:app", &missing);

    // Something else has its name.
    machine.shell(&format!("echo nothing >/opt/lib/{library}"));
    machine.explains("LD_LIBRARY_PATH=/opt/lib", "app:app", "file too short");
    machine.shell(&format!("cp -L /lib/*/libc.so.6 /opt/lib/{library}"));
    machine.explains("LD_LIBRARY_PATH=/opt/lib", "app:app", "it does not have the symbol Py");

    // The advice.
    run(&machine.layer, &format!("{PACKAGES} libpython{version}"), "/");
    machine.works("");

    // Another place, without a standard library around it.
    machine.shell(&format!("mv /usr/lib/*/{library} /opt/lib"));
    machine.explains("", "app:app", &missing);
    machine.works("LD_LIBRARY_PATH=/opt/lib");

    // A link of this name to the library of another version, or as good as that.
    let other = format!("{}.99", &version[..1]);
    machine.shell(&format!(
        "cd /opt/lib; LC_ALL=C sed 's/{}\\.\\([0-9]\\)/{other}.\\1/g' {library} >other; mv other {library}",
        version.replace('.', "\\.")
    ));
    let reason = format!("/opt/lib/{library} is of Python {other}.");
    machine.explains("LD_LIBRARY_PATH=/opt/lib", "app:app", &reason);
}
