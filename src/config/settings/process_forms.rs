//! Section "Server Mechanics", in what form the processes run.

use std::marker::PhantomData;

use crate::config::Config;
use crate::config::kinds::{Kind, positive};
use crate::config::setting::{Scope, Shape};
use crate::config::value::Value;
use crate::sys::account;
use crate::sys::identity::Identity;

macro_rules! process_forms {
    ($($chain:tt)*) => { settings! { $($chain)* ServerMechanics {
        /// Give each worker its own sockets, with `SO_REUSEPORT`.
        ///
        /// The kernel spreads connections over the sockets of an address, and other servers of the same
        /// user may listen there too. The master opens them and keeps them open, so that no connection is
        /// lost when workers come and go. Unix sockets and inherited ones are shared by all workers. Two
        /// servers at one address lose what waits in the sockets of the one that stops, unless
        /// `net.ipv4.tcp_migrate_req` is 1.
        reuse_port: bool = Switch {
            flags: ["--reuse-port"],
            metavar: "",
            default: false,
            reload: Restart,
        }

        /// Run in the background, detached from the terminal.
        ///
        /// The command ends when the sockets are open and the pid file is written, or says on the
        /// terminal why that failed; its exit status tells which. Standard input, output and error of the
        /// server go nowhere (see `enable_stdio_inheritance`): log to files. Its umask is 022.
        daemon: bool = Switch {
            flags: ["-D", "--daemon"],
            metavar: "",
            default: false,
            reload: Restart,
        }

        /// The user that workers run as, by name or number. Default: the one that starts the server.
        ///
        /// Unix sockets and log files are given to that user. Only root, or a process with the
        /// capabilities `CAP_SETUID` and `CAP_SETGID`, can become another user. The worker is then in no
        /// groups but `group`; see `initgroups`.
        user: u32 = User {
            flags: ["-u", "--user"],
            metavar: "USER",
            default: Value::None,
            reload: Workers,
        }

        /// The group that workers run as, by name or number. Default: that of the process.
        group: u32 = Group {
            flags: ["-g", "--group"],
            metavar: "GROUP",
            default: Value::None,
            reload: Workers,
        }

        /// The permission bits that unix sockets are made without.
        ///
        /// On the command line a number that begins with 0 is octal (`022`). In a conf file write
        /// `0o022`. See also `socket_mode`.
        umask: u32 = Mode {
            flags: ["-m", "--umask"],
            metavar: "INT",
            default: 0,
            reload: Restart,
        }

        /// Give workers all the groups that `user` is in.
        initgroups: bool = Switch {
            flags: ["--initgroups"],
            metavar: "",
            default: false,
            reload: Workers,
        }

        /// The permission bits of unix sockets, whatever `umask` says.
        ///
        /// With `0660` only owner and group can connect, see `socket_user` and `socket_group`.
        /// On the command line a number that begins with 0 is octal (`0660`). In a conf file write
        /// `0o660`. `None`: 0777 without the bits of `umask`. Applied before anybody can connect. This
        /// setting is rgunicorn's own.
        socket_mode: Option<u32> = SocketMode {
            flags: ["--socket-mode"],
            metavar: "MODE",
            default: Value::None,
            reload: Restart,
        }

        /// The owner of unix sockets, by name or number. Default: `user`.
        ///
        /// This setting is rgunicorn's own.
        socket_user: Option<u32> = Optional<User> {
            flags: ["--socket-user"],
            metavar: "USER",
            default: Value::None,
            reload: Restart,
        }

        /// The group of unix sockets, by name or number, such as that of the proxy. Default: `group`.
        ///
        /// This setting is rgunicorn's own.
        socket_group: Option<u32> = Optional<Group> {
            flags: ["--socket-group"],
            metavar: "GROUP",
            default: Value::None,
            reload: Restart,
        }
    } } };
}
pub(super) use process_forms;

impl Config {
    /// Whom workers are to act as.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { uid: self.user, gid: self.group, all_groups: self.initgroups }
    }
}

/// A user by name or number; `None` is the one this process acts for.
pub type User = Account<false>;

/// A group by name or number; `None` is the one this process acts for.
pub type Group = Account<true>;

/// Either.
pub struct Account<const GROUP: bool>;

impl<const GROUP: bool> Kind for Account<GROUP> {
    type Out = u32;
    const SHAPE: Shape = Shape::One;
    const ACCEPTS: &'static str =
        if GROUP { "group name, group id or None" } else { "user name, user id or None" };

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        if GROUP {
            account(value, account::effective_gid, account::gid_of, "group")
        } else {
            account(value, account::effective_uid, account::uid_of, "user")
        }
    }

    fn value(out: &Self::Out) -> Value {
        Value::Int((*out).into())
    }
}

/// An account that need not be named.
pub struct Optional<K>(PhantomData<K>);

impl<K: Kind<Out = u32>> Kind for Optional<K> {
    type Out = Option<u32>;
    const SHAPE: Shape = K::SHAPE;
    const ACCEPTS: &'static str = K::ACCEPTS;

    fn parse(value: &Value, scope: &Scope<'_>) -> Result<Self::Out, String> {
        match value {
            Value::None => Ok(None),
            value => K::parse(value, scope).map(Some),
        }
    }

    fn value(out: &Self::Out) -> Value {
        out.as_ref().map_or(Value::None, K::value)
    }
}

/// The nine permission bits, or `None`.
pub struct SocketMode;

impl Kind for SocketMode {
    type Out = Option<u32>;
    const SHAPE: Shape = Shape::Bits;
    const ACCEPTS: &'static str = "permission bits or None; the flag takes 0660 as octal";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        if *value == Value::None {
            return Ok(None);
        }
        let bits = positive(value, i64::from(u32::MAX))?;
        match u32::try_from(bits) {
            Ok(bits @ 0..=0o777) => Ok(Some(bits)),
            _ => Err(format!(
                "{} ({bits:#o}) is not a combination of permission bits, which are octal; write 0o660 \
                 or, on the command line, 0660",
                value.text()
            )),
        }
    }

    fn value(out: &Self::Out) -> Value {
        out.map_or(Value::None, |bits| Value::Int(bits.into()))
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
        assert_eq!(Optional::<User>::parse(&Value::None, &scope), Ok(None));
        assert_eq!(Optional::<User>::parse(&"root".into(), &scope), Ok(Some(0)));
        let group = |value: Value| Group::parse(&value, &scope);
        assert_eq!(group(Value::None), Ok(account::effective_gid()));
        assert_eq!(group("no-such".into()), Err("No such group: 'no-such'".into()));
    }

    #[test]
    fn socket_modes_are_permission_bits() {
        let scope = Scope { start: Path::new("/"), conf_file: true };
        let mode = |value: Value| SocketMode::parse(&value, &scope);
        assert_eq!(mode(Value::None), Ok(None));
        assert_eq!(mode(0o660.into()), Ok(Some(0o660)));
        assert_eq!(mode("0o600".into()), Ok(Some(0o600)));
        // What 660 without a 0 in front is.
        let error = mode(660.into()).unwrap_err();
        assert!(
            error.starts_with("660 (0o1224) is not a combination of permission bits"),
            "{error}"
        );
        assert!(mode(Value::Int(-1)).is_err() && mode("0660".into()).is_err());
    }
}
