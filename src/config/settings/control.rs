//! Section "Control".

use std::path::Path;

use crate::config::value::Value;

macro_rules! control {
    ($($chain:tt)*) => { settings! { $($chain)* Control {
        /// The path of the control socket.
        ///
        /// In the directory `XDG_RUNTIME_DIR` if there is one, else in the home directory.
        control_socket: Option<String> = Text {
            flags: ["--control-socket"],
            metavar: "PATH",
            default: "~/.gunicorn/gunicorn.ctl",
            env: "HOME" => |home| Ok(Some(control::in_home(home))),
            env: "XDG_RUNTIME_DIR" => |directory| Ok(control::in_runtime_directory(directory)),
            reload: Restart,
            unbuilt: [],
        }

        /// The permission bits of the control socket.
        control_socket_mode: u32 = Mode {
            flags: ["--control-socket-mode"],
            metavar: "INT",
            default: 0o600,
            reload: Restart,
            unbuilt: [],
        }

        /// Do not open a control socket. There is none yet, so that it changes nothing.
        control_socket_disable: bool = Switch {
            flags: ["--no-control-socket"],
            metavar: "",
            default: false,
            reload: Restart,
        }
    } } };
}
pub(super) use control;

/// The path below a home directory.
pub fn in_home(home: &str) -> Value {
    format!("{}/.gunicorn/gunicorn.ctl", home.trim_end_matches('/')).into()
}

/// The path in the user's runtime directory, if there is such a directory.
pub fn in_runtime_directory(directory: &str) -> Option<Value> {
    let exists = !directory.is_empty() && Path::new(directory).is_dir();
    exists.then(|| Path::new(directory).join("gunicorn.ctl").to_string_lossy().as_ref().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_socket_is_in_a_directory_of_the_user() {
        assert_eq!(in_home("/home/site/").text(), "/home/site/.gunicorn/gunicorn.ctl");
        assert_eq!(in_home("").text(), "/.gunicorn/gunicorn.ctl");
        assert_eq!(in_runtime_directory("/").unwrap().text(), "/gunicorn.ctl");
        assert_eq!(in_runtime_directory("/nowhere"), None);
        assert_eq!(in_runtime_directory(""), None);
    }
}
