//! Section "Server Mechanics".

use std::path::{Component, Path, PathBuf};

use crate::config::choice::Choice;
use crate::config::kinds::{Kind, boolean, text};
use crate::config::setting::{Scope, Shape};
use crate::config::value::{Value, quoted};

macro_rules! server_mechanics {
    ($($chain:tt)*) => { settings! { $($chain)* ServerMechanics {
        /// Import the application in the master, before the workers are forked.
        ///
        /// The workers share its memory. At HUP it is imported anew, in a process that checks whether that works,
        /// and then in the master, which becomes a new program with the same process id.
        preload_app: bool = Switch {
            flags: ["--preload"],
            metavar: "",
            default: false,
            reload: Workers,
        }

        /// Do not use sendfile(2) for files that the application returns.
        ///
        /// In a conf file: `sendfile = False`. With `None` the variable `SENDFILE`, if set, turns it on
        /// by `y`, `1`, `yes` or `true` and off by anything else. Differs from gunicorn, where
        /// `sendfile = True` turns it off.
        sendfile: Option<bool> = Sendfile {
            flags: ["--no-sendfile"],
            metavar: "",
            default: Value::None,
            reload: Workers,
        }

        /// The directory to change to before the application is loaded.
        ///
        /// Relative to the start directory, which is the default (the variable `PWD` is kept where it
        /// names the same directory, so that symbolic links stay). Also the first place where Python
        /// looks for modules.
        chdir: PathBuf = Directory {
            flags: ["--chdir"],
            metavar: "CHDIR",
            default: ".",
            reload: Live,
        }

        /// A variable for the environment of the application, NAME=VALUE; may be given several times.
        raw_env: Vec<String> = Strings {
            flags: ["-e", "--env"],
            metavar: "ENV",
            default: Value::List(Vec::new()),
            reload: Live,
        }

        /// The directory for request bodies that do not fit into memory, if `tmp_upload_dir` is not set.
        ///
        /// gunicorn keeps its workers' heartbeat files there, which is why it is often set to a
        /// directory in memory (`/dev/shm`). rgunicorn has no heartbeat file: a worker's signs of life
        /// are in memory it shares with the master.
        worker_tmp_dir: Option<String> = Text {
            flags: ["--worker-tmp-dir"],
            metavar: "DIR",
            default: Value::None,
            reload: Workers,
        }

        /// The directory for request bodies that do not fit into memory.
        ///
        /// They are kept there in files without a name, which vanish with the request. Default:
        /// `worker_tmp_dir`, else the directory for temporary files (`TMPDIR` or `/tmp`). A directory
        /// in memory makes large bodies take memory after all. See `request_buffer_size`.
        tmp_upload_dir: Option<String> = Text {
            flags: [],
            metavar: "",
            default: Value::None,
            reload: Workers,
        }

        /// The file for the process id of the master.
        pidfile: Option<String> = Text {
            flags: ["-p", "--pid"],
            metavar: "FILE",
            default: Value::None,
            reload: Live,
        }

        /// Trusted headers by which a proxy says that the client used HTTPS.
        ///
        /// A dict of upper-case header names and the value that means HTTPS. Believed only from the
        /// addresses in `forwarded_allow_ips`; a request whose headers contradict each other is refused.
        secure_scheme_headers: Vec<(String, String)> = Pairs {
            flags: [],
            metavar: "",
            default: Value::Dict(vec![
                ("X-FORWARDED-PROTOCOL".into(), "ssl".into()),
                ("X-FORWARDED-PROTO".into(), "https".into()),
                ("X-FORWARDED-SSL".into(), "on".into()),
            ]),
            reload: Workers,
        }

        /// Addresses and networks of proxies that are believed, separated by commas; * is any.
        ///
        /// Clients on a unix socket are always believed.
        forwarded_allow_ips: Vec<String> = Networks {
            flags: ["--forwarded-allow-ips"],
            metavar: "STRING",
            default: "127.0.0.1,::1",
            env: "FORWARDED_ALLOW_IPS" => |text| Ok(Some(text.into())),
            reload: Workers,
        }

        /// Header names with underscores that believed proxies may send, separated by commas.
        ///
        /// They reach the application whatever `header_map` says.
        forwarder_headers: Vec<String> = CommaList {
            flags: ["--forwarder-headers"],
            metavar: "STRING",
            default: "SCRIPT_NAME,PATH_INFO",
            reload: Workers,
        }

        /// What happens to header names with underscores: drop, refuse or dangerous.
        ///
        /// `X_Y` and `X-Y` become the same variable for the application, so a client could pretend to
        /// be a proxy. `drop` removes such a header, `refuse` answers 400, `dangerous` lets it pass.
        header_map: HeaderMap = OneOf<HeaderMap> {
            flags: ["--header-map"],
            metavar: "STRING",
            default: "drop",
            reload: Workers,
        }

        /// Directories where Python looks for modules first, separated by commas.
        pythonpath: Option<String> = Text {
            flags: ["--pythonpath"],
            metavar: "STRING",
            default: Value::None,
            reload: Restart,
        }
    } } };
}
pub(super) use server_mechanics;

/// Whether files go out with sendfile(2), if somebody has said so. The flag turns it off.
pub struct Sendfile;

impl Kind for Sendfile {
    type Out = Option<bool>;
    const SHAPE: Shape = Shape::Switch(false);
    const ACCEPTS: &'static str = "True, False or None (on)";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        boolean(value)
    }

    fn value(out: &Self::Out) -> Value {
        out.map_or(Value::None, Value::Bool)
    }
}

/// An existing directory, absolute and without `.` and `..`.
pub struct Directory;

impl Kind for Directory {
    type Out = PathBuf;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "existing directory";

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        let path = text(value)?;
        let directory = normal(&scope.start.join(&path));
        if directory.is_dir() {
            Ok(directory)
        } else if directory.exists() {
            let path = directory.to_string_lossy();
            Err(format!("[Errno 20] Not a directory: {}", quoted(&path)))
        } else {
            Err(format!("can't chdir to {}", quoted(&path)))
        }
    }

    fn value(out: &Self::Out) -> Value {
        out.to_string_lossy().as_ref().into()
    }
}

/// Resolves `.` and `..` by the text alone, as gunicorn does, so that symbolic links are kept.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// What to do with request header names that contain an underscore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderMap {
    /// Leave them out.
    #[default]
    Drop,
    /// Answer 400.
    Refuse,
    /// Let them pass.
    Dangerous,
}

impl Choice for HeaderMap {
    const WORDS: &'static [(&'static str, Self)] =
        &[("drop", Self::Drop), ("refuse", Self::Refuse), ("dangerous", Self::Dangerous)];
    const ACCEPTS: &'static str = "drop, refuse or dangerous";
    // What it means in gunicorn: neither drop nor let pass.
    const NONE: Self = Self::Refuse;

    fn wrong_word(_: &str, text: &str) -> String {
        format!("Invalid header map behaviour: {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::choice::OneOf;

    fn directory(start: &Path, text: &str) -> Result<PathBuf, String> {
        Directory::parse(&text.into(), &Scope { start, conf_file: false })
    }

    #[test]
    fn directories_are_absolute_and_exist() {
        let root = tempfile::tempdir().unwrap();
        let start = root.path().join("a");
        std::fs::create_dir(&start).unwrap();
        assert_eq!(directory(&start, ".").unwrap(), start);
        assert_eq!(directory(&start, "../a/./").unwrap(), start);
        assert_eq!(directory(&start, " / ").unwrap(), Path::new("/"));
        assert_eq!(directory(&start, "../../../../../../../..").unwrap(), Path::new("/"));
        assert_eq!(directory(&start, "it's"), Err("can't chdir to \"it's\"".into()));
        std::fs::write(start.join("file"), "").unwrap();
        let message = format!("[Errno 20] Not a directory: '{}/file'", start.display());
        assert_eq!(directory(&start, "file"), Err(message));
    }

    #[test]
    fn header_policies() {
        let scope = Scope { start: Path::new("/"), conf_file: true };
        assert_eq!(OneOf::<HeaderMap>::parse(&" DROP".into(), &scope), Ok(HeaderMap::Drop));
        assert_eq!(OneOf::<HeaderMap>::parse(&Value::None, &scope), Ok(HeaderMap::Refuse));
        assert_eq!(
            OneOf::<HeaderMap>::parse(&"Foo".into(), &scope),
            Err("Invalid header map behaviour: Foo".into())
        );
        assert_eq!(
            OneOf::<HeaderMap>::parse(&3.into(), &scope),
            Err("Invalid type for casting: 3".into())
        );
    }
}
