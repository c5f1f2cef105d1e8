//! Section "Server Mechanics", in what form the processes run.

use crate::config::kinds::{Kind, positive};
use crate::config::setting::{Scope, Shape};
use crate::config::value::Value;
use crate::sys::account;

macro_rules! process_forms {
    ($($chain:tt)*) => { settings! { $($chain)* ServerMechanics {
        /// Let each worker bind its own sockets, with `SO_REUSEPORT`.
        reuse_port: bool = Switch {
            flags: ["--reuse-port"],
            metavar: "",
            default: false,
            reload: Restart,
            unbuilt: [],
        }

        /// Run in the background, detached from the terminal.
        daemon: bool = Switch {
            flags: ["-D", "--daemon"],
            metavar: "",
            default: false,
            reload: Restart,
            unbuilt: [],
        }

        /// The user that workers run as, by name or number. Default: the one that starts the server.
        user: u32 = User {
            flags: ["-u", "--user"],
            metavar: "USER",
            default: Value::None,
            reload: Workers,
            unbuilt: [],
        }

        /// The group that workers run as, by name or number. Default: that of the process.
        group: u32 = Group {
            flags: ["-g", "--group"],
            metavar: "GROUP",
            default: Value::None,
            reload: Workers,
            unbuilt: [],
        }

        /// The permission bits that unix sockets are made without.
        ///
        /// On the command line a number that begins with 0 is octal (`022`). In a conf file write
        /// `0o022`.
        umask: u32 = Mode {
            flags: ["-m", "--umask"],
            metavar: "INT",
            default: 0,
            reload: Live,
            unbuilt: [],
        }

        /// Give workers all the groups that `user` is in.
        initgroups: bool = Switch {
            flags: ["--initgroups"],
            metavar: "",
            default: false,
            reload: Workers,
            unbuilt: [],
        }
    } } };
}
pub(super) use process_forms;

/// A user by name or number; `None` is the one this process acts for.
pub struct User;

impl Kind for User {
    type Out = u32;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "user name, user id or None";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        account(value, account::effective_uid, account::uid_of, "user")
    }

    fn value(out: &Self::Out) -> Value {
        Value::Int((*out).into())
    }
}

/// A group by name or number; `None` is the one this process acts for.
pub struct Group;

impl Kind for Group {
    type Out = u32;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str = "group name, group id or None";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        account(value, account::effective_gid, account::gid_of, "group")
    }

    fn value(out: &Self::Out) -> Value {
        Value::Int((*out).into())
    }
}

/// The largest id there is; one more means "leave it as it is" to the system.
const LARGEST: i64 = 4_294_967_294;

fn account(
    value: &Value,
    own: fn() -> u32,
    find: fn(&str) -> Option<u32>,
    what: &str,
) -> Result<u32, String> {
    let unknown = || format!("No such {what}: '{}'", value.text());
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = match value {
        Value::None => return Ok(own()),
        Value::Str(text) if digits(text) => match text.parse() {
            Ok(number) => positive(&Value::Int(number), LARGEST)?,
            Err(_) => return Err(unknown()),
        },
        Value::Str(name) => return find(name).ok_or_else(unknown),
        Value::Int(_) | Value::Bool(_) | Value::BigInt(_) => positive(value, LARGEST)?,
        other => {
            return Err(format!("'{}' object has no attribute 'isdigit'", other.type_name()));
        }
    };
    u32::try_from(number).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn accounts_by_name_and_number() {
        let scope = Scope { start: Path::new("/"), conf_file: true };
        let user = |value: Value| User::parse(&value, &scope);
        assert_eq!(user(Value::None), Ok(account::effective_uid()));
        assert_eq!(user("root".into()), Ok(0));
        assert_eq!(user("0033".into()), Ok(33));
        assert_eq!(user(1000.into()), Ok(1000));
        for (value, message) in [
            (Value::from("no-such"), "No such user: 'no-such'"),
            ("".into(), "No such user: ''"),
            ("-1".into(), "No such user: '-1'"),
            (Value::Int(-1), "Value must be positive: -1"),
            (Value::Int(4_294_967_295), "Value must be at most 4294967294: 4294967295"),
            (Value::Float(1.0), "'float' object has no attribute 'isdigit'"),
        ] {
            assert_eq!(user(value), Err(message.into()));
        }
        let group = |value: Value| Group::parse(&value, &scope);
        assert_eq!(group(Value::None), Ok(account::effective_gid()));
        assert_eq!(group("no-such".into()), Err("No such group: 'no-such'".into()));
    }
}
