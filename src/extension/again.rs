//! The command line that starts this process once more.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::unistd::{AccessFlags, access};
use pyo3::prelude::*;

/// Command lines of this process.
#[derive(Debug, PartialEq, Eq)]
pub struct Commands {
    /// The one it was started by: a script that names its interpreter, or `python` with arguments.
    pub again: Vec<OsString>,
    /// The interpreter that runs, with all arguments.
    pub itself: Vec<OsString>,
}

/// How this process was started.
///
/// # Errors
/// What Python raises.
pub fn commands(sys: &Bound<'_, PyAny>) -> PyResult<Commands> {
    let given = match sys.getattr("orig_argv") {
        Ok(given) => given.extract()?,
        // Python 3.9 does not have it.
        Err(_) => arguments(),
    };
    let executable: Option<OsString> = sys.getattr("executable")?.extract()?;
    Ok(choose(&given, executable.filter(|path| !path.is_empty())))
}

/// What the kernel was given.
fn arguments() -> Vec<OsString> {
    let bytes = fs::read("/proc/self/cmdline").unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect()
}

/// A script is started again by itself: the environment that it belongs to may have been replaced by
/// another one, with another interpreter.
fn choose(given: &[OsString], executable: Option<OsString>) -> Commands {
    let (python, arguments) = match given {
        [] => (None, given),
        [python, arguments @ ..] => (Some(python), arguments),
    };
    let executable = executable.or_else(|| python.cloned());
    let itself: Vec<OsString> = executable.into_iter().chain(arguments.iter().cloned()).collect();
    let is_script =
        |script: &&OsString| python.is_some() && interpreter(Path::new(script)).as_ref() == python;
    let again = match arguments.first().filter(is_script) {
        Some(_) => arguments.to_vec(),
        None => itself.clone(),
    };
    Commands { again, itself }
}

/// The interpreter that the first line of a script names, if that is all it says and the script can be
/// executed.
fn interpreter(script: &Path) -> Option<OsString> {
    access(script, AccessFlags::X_OK).ok()?;
    let mut start = Vec::new();
    fs::File::open(script).ok()?.take(1024).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let path = line.trim_ascii();
    (!path.contains(&b' ')).then(|| OsStr::from_bytes(path).to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_script_is_started_by_itself_and_anything_else_by_the_interpreter() {
        let place = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = place.path().join(name);
            fs::write(&path, text).unwrap();
            let mode = if name == "read" { 0o644 } else { 0o755 };
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (plain, read, odd, none) = (
            script("plain", "#! /v/bin/python \nimport x\n"),
            script("read", "#!/v/bin/python\n"),
            script("odd", "#!/v/bin/python -I\n"),
            script("none", "import x\n"),
        );
        let chosen = |given: &[&str], executable: Option<&str>| {
            let given: Vec<OsString> = given.iter().map(OsString::from).collect();
            let chosen = choose(&given, executable.map(OsString::from));
            assert!(chosen.itself.iter().skip(1).eq(given.iter().skip(1)));
            chosen.again.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>()
        };
        let python = Some("/v/bin/python");
        assert_eq!(chosen(&["/v/bin/python", &plain, "-w", "2"], python), [&plain, "-w", "2"]);
        for given in [
            &["python", &plain, "x"][..],
            &["/v/bin/python", &read],
            &["/v/bin/python", &odd],
            &["/v/bin/python", "-I", &odd],
            &["/v/bin/python", &none],
            &["/v/bin/python", "/nowhere"],
            &["python", "-m", "rgunicorn"],
            &["/v/bin/python"],
        ] {
            assert_eq!(chosen(given, python), [&["/v/bin/python"], &given[1..]].concat());
            assert_eq!(chosen(given, None), given);
        }
        assert_eq!(chosen(&[], python), ["/v/bin/python"]);
        assert!(chosen(&[], None).is_empty());
    }

    #[test]
    fn the_kernel_knows_the_arguments() {
        assert_eq!(arguments(), std::env::args_os().collect::<Vec<_>>());
    }
}
