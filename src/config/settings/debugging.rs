//! Section "Debugging".

macro_rules! debugging {
    ($($chain:tt)*) => { settings! { $($chain)* Debugging {
        /// Check the configuration, import the application, and exit.
        ///
        /// Exit status 0 and no output if all is well, else 1 and the reason.
        check_config: bool = Switch {
            flags: ["--check-config"],
            metavar: "",
            default: false,
            reload: Restart,
        }

        /// Print the configuration as it results from all layers, check it, and exit.
        print_config: bool = Switch {
            flags: ["--print-config"],
            metavar: "",
            default: false,
            reload: Restart,
        }
    } } };
}
pub(super) use debugging;
