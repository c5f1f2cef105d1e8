//! Section "Security": limits of a request.

macro_rules! security {
    ($($chain:tt)*) => { settings! { $($chain)* Security {
        /// The most bytes of a request line, without its line end.
        limit_request_line: u32 = Count {
            flags: ["--limit-request-line"],
            metavar: "INT",
            default: 4094,
            reload: Workers,
        }

        /// The most header fields of a request.
        limit_request_fields: u32 = Count {
            flags: ["--limit-request-fields"],
            metavar: "INT",
            default: 100,
            reload: Workers,
        }

        /// The most bytes of one header field.
        limit_request_field_size: u32 = Count {
            flags: ["--limit-request-field_size"],
            metavar: "INT",
            default: 8190,
            reload: Workers,
        }
    } } };
}
pub(super) use security;
