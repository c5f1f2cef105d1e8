//! Section "Process Naming".

macro_rules! process_naming {
    ($($chain:tt)*) => { settings! { $($chain)* ProcessNaming {
        /// The name in the titles of the processes, as ps shows them.
        proc_name: Option<String> = Text {
            flags: ["-n", "--name"],
            metavar: "STRING",
            default: Value::None,
            reload: Live,
        }

        /// The name used when `proc_name` is not set.
        ///
        /// The application as the command line names it, unless a conf file says otherwise.
        default_proc_name: String = Name {
            flags: [],
            metavar: "",
            default: "gunicorn",
            reload: Live,
        }
    } } };
}
pub(super) use process_naming;
