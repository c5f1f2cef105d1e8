//! A line of the access log as a JSON object.

use super::{Entry, Source, Value, decimal_seconds, number};
use crate::log::json;
use crate::sys::time::iso_stamp;

/// The fields of a line that are variables of the environ, in their order.
const VARIABLES: [(&str, &str); 9] = [
    ("remote_addr", "REMOTE_ADDR"),
    ("method", "REQUEST_METHOD"),
    ("target", "RAW_URI"),
    ("path", "PATH_INFO"),
    ("query", "QUERY_STRING"),
    ("protocol", "SERVER_PROTOCOL"),
    ("host", "HTTP_HOST"),
    ("referer", "HTTP_REFERER"),
    ("user_agent", "HTTP_USER_AGENT"),
];

/// Appends the line of one request, newline included. Every line has every field; what there is not is
/// null.
pub fn write(out: &mut Vec<u8>, entry: &Entry<'_>) {
    out.extend_from_slice(br#"{"time":""#);
    out.extend_from_slice(&iso_stamp());
    out.push(b'"');
    for (field, name) in VARIABLES {
        key(out, field);
        let found = entry.lookup.find(Source::Environ, name, &mut |value| match value {
            Value::Bytes(bytes) => json::bytes(out, bytes),
            Value::Text(text) | Value::Object(text) => json::string(out, text),
        });
        match entry.line {
            _ if found => {}
            Some(line) if field == "target" => json::bytes(out, line),
            _ => out.extend_from_slice(b"null"),
        }
    }
    key(out, "user");
    match entry.user_name() {
        Some(name) => json::string(out, &name),
        None => out.extend_from_slice(b"null"),
    }
    key(out, "status");
    match entry.status_code() {
        Some(code) => number(out, code),
        None => out.extend_from_slice(b"null"),
    }
    key(out, "bytes");
    number(out, entry.sent);
    key(out, "duration");
    decimal_seconds(out, entry.elapsed);
    key(out, "waited");
    decimal_seconds(out, entry.waited);
    key(out, "pid");
    number(out, entry.pid);
    out.extend_from_slice(b"}\n");
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
