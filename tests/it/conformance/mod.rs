//! Facts about gunicorn 27.0.1, HTTP/1.1 (RFC 9110, RFC 9112) and WSGI (PEP 3333), checked on both
//! servers. Where rgunicorn differs on purpose, the case says so and `docs/differences.md` lists it.

mod access_atoms;
mod access_log;
mod configuration;
mod environ;
mod error_pages;
mod framing;
mod head;
mod header_policy;
pub mod input;
mod keep_alive;
mod life;
mod loading;
mod log_files;
mod proxy_protocol;
mod python_loggers;
mod request_line;
mod responses;
mod settings;
mod signals;
mod statsd;
mod syslog;
mod wsgi;

use crate::harness::Response;

/// The page of an error the server itself answers with, as it comes over the wire.
pub fn error_page(status: &str, message: &str) -> String {
    let reason = &status[4..];
    let message = escape(message);
    let body = format!(
        "<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n  <body>\n    \
         <h1><p>{reason}</p></h1>\n    {message}\n  </body>\n</html>\n"
    );
    let length = body.chars().count();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/html\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#x27;")
}

/// The value the application `echo:app` saw under this name, as Python prints it.
fn seen(response: &Response, name: &str) -> Option<String> {
    assert_eq!(response.status, 200, "{}", response.text());
    let prefix = format!("{name}=");
    response.text().lines().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
}

/// Fails unless the application saw this value.
#[track_caller]
fn assert_seen(response: &Response, name: &str, value: &str) {
    assert_eq!(seen(response, name).as_deref(), Some(value), "{name} in\n{}", response.text());
}
