//! Section "Slow Clients and Large Bodies", which is rgunicorn's own: what keeps clients from holding
//! the application, and from taking memory.

use crate::config::kinds::{Kind, boolean};
use crate::config::setting::{Scope, Shape};
use crate::config::value::Value;

macro_rules! clients_and_buffers {
    ($($chain:tt)*) => { settings! { $($chain)* ClientsAndBuffers {
        /// Hand a request to the application as soon as its head is there, not when its body is.
        ///
        /// In a conf file: `request_buffering = False`. Without it a request waits in the server until
        /// its body is complete, so that no client can hold the application by sending slowly. Turn it
        /// off for applications that read bodies as they arrive.
        request_buffering: bool = Buffering {
            flags: ["--no-request-buffering"],
            metavar: "",
            default: true,
            reload: Workers,
        }

        /// Bytes of a request body that are kept in memory; the rest waits in a temporary file.
        ///
        /// The file is in `tmp_upload_dir`. With 0 every body goes there.
        request_buffer_size: u64 = Size {
            flags: ["--request-buffer-size"],
            metavar: "SIZE",
            default: 1_048_576,
            reload: Workers,
        }

        /// The most bytes of a request body; a larger one is answered with 413. 0 means no limit.
        ///
        /// A body whose announced length is above the limit is refused before any of it is read, one
        /// without an announced length as soon as it is above.
        limit_request_body: u64 = Size {
            flags: ["--limit-request-body"],
            metavar: "SIZE",
            default: 0,
            reload: Workers,
        }

        /// Bytes of a response that the application may be ahead of its client.
        ///
        /// What the client has not taken yet is kept in memory and sent while the application serves
        /// others. An application that produces more than this waits until the client catches up.
        response_buffer_size: u64 = Size {
            flags: ["--response-buffer-size"],
            metavar: "SIZE",
            default: 1_048_576,
            reload: Workers,
        }

        /// Seconds from the first byte of a request to the end of its head; 0 means no limit.
        ///
        /// A head that takes longer is answered with 408. It is one packet or a few, so that the
        /// default, 60 seconds as with nginx, is met on any line that works at all, while a client
        /// that sends a byte now and then is let go.
        header_timeout: u64 = Seconds {
            flags: ["--header-timeout"],
            metavar: "INT",
            default: 60,
            reload: Workers,
        }

        /// Seconds that nothing of a request body may arrive; 0 means no limit.
        ///
        /// Then the request is answered with 408. Every piece starts the time anew, so that an upload
        /// may take as long as it needs. The default, 60 seconds as with nginx, is more than a line
        /// that is still up is ever silent.
        body_timeout: u64 = Seconds {
            flags: ["--body-timeout"],
            metavar: "INT",
            default: 60,
            reload: Workers,
        }

        /// Seconds that a client may take nothing of a response; 0 means no limit.
        ///
        /// Then the connection is closed. Whatever the client takes starts the time anew, so that a
        /// download may take as long as it needs. The default is 60 seconds, as with nginx.
        write_timeout: u64 = Seconds {
            flags: ["--write-timeout"],
            metavar: "INT",
            default: 60,
            reload: Workers,
        }
    } } };
}
pub(super) use clients_and_buffers;

/// On unless turned off; `None` counts as on.
pub struct Buffering;

impl Kind for Buffering {
    type Out = bool;
    const SHAPE: Shape = Shape::Switch(false);
    const ACCEPTS: &'static str = "True or False";

    fn parse(value: &Value, _: &Scope<'_>) -> Result<Self::Out, String> {
        boolean(value).map(|on| on.unwrap_or(true))
    }

    fn value(out: &Self::Out) -> Value {
        (*out).into()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn defaults_are_those_documented() {
        let config = Config::default();
        assert!(config.request_buffering);
        assert_eq!((config.request_buffer_size, config.response_buffer_size), (1 << 20, 1 << 20));
        assert_eq!(config.limit_request_body, 0);
        let timeouts = [config.header_timeout, config.body_timeout, config.write_timeout];
        assert_eq!(timeouts, [60; 3]);
    }
}
