//! Section "Server Socket".

macro_rules! server_socket {
    ($($chain:tt)*) => { settings! { $($chain)* ServerSocket {
        /// The address to listen on; may be given several times.
        ///
        /// `HOST`, `HOST:PORT`, `[IPV6]:PORT`, `:PORT`, `tcp://...`, `unix:PATH`, `unix://PATH`,
        /// `unix:@NAME` (a socket without a file, in Linux's abstract name space: everybody on the
        /// machine may connect) or `fd://N` (an inherited descriptor). If any descriptor is inherited,
        /// the other addresses are ignored. The variable `PORT` makes the default `0.0.0.0:$PORT`.
        bind: Vec<String> = Strings {
            flags: ["-b", "--bind"],
            metavar: "ADDRESS",
            default: ["127.0.0.1:8000"],
            env: "PORT" => |port| Ok(Some(Value::from([format!("0.0.0.0:{port}")]))),
            reload: Live,
        }

        /// Connections the kernel keeps waiting to be accepted.
        ///
        /// The backlog of listen(2). The kernel caps it (`net.core.somaxconn`). A socket that is
        /// already listening when it is inherited keeps its own.
        backlog: u32 = Count {
            flags: ["--backlog"],
            metavar: "INT",
            default: 2048,
            reload: Live,
        }
    } } };
}
pub(super) use server_socket;
