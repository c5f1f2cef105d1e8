//! Section "Server Mechanics", what is about Paste, the uwsgi protocol and ASGI.

macro_rules! other_protocols {
    ($($chain:tt)*) => { settings! { $($chain)* ServerMechanics {
        /// The PasteDeploy file that names the application, perhaps with `#SECTION` behind it.
        paste: Option<String> = Text {
            flags: ["--paste", "--paster"],
            metavar: "STRING",
            default: Value::None,
            reload: Restart,
            unbuilt: [],
        }

        /// A default for the PasteDeploy file, KEY=VALUE; may be given several times.
        raw_paste_global_conf: Vec<String> = Strings {
            flags: ["--paste-global"],
            metavar: "CONF",
            default: Value::List(Vec::new()),
            reload: Restart,
            unbuilt: [],
        }

        /// The protocol of the clients: http or uwsgi.
        protocol: Option<String> = Text {
            flags: ["--protocol"],
            metavar: "STRING",
            default: "http",
            reload: Workers,
            unbuilt: [Value::None],
        }

        /// Addresses that may speak the uwsgi protocol, separated by commas; * is any.
        uwsgi_allow_ips: Vec<String> = Networks {
            flags: ["--uwsgi-allow-from"],
            metavar: "STRING",
            default: "127.0.0.1,::1",
            reload: Workers,
            unbuilt: [],
        }

        /// The `root_path` of ASGI applications.
        root_path: Option<String> = Text {
            flags: ["--root-path"],
            metavar: "STRING",
            default: "",
            reload: Workers,
            unbuilt: [Value::None],
        }
    } } };
}
pub(super) use other_protocols;
