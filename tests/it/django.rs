//! The Django example, end to end.

use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, ServerKind};
use crate::site;

on_both_servers!(example, debug_page);

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/django");

fn example(kind: ServerKind) {
    let server = Builder::new(kind).app("mysite.wsgi").chdir(DIR).args(["-w", "4"]).start();
    site::check(&server);
    let log = server.log.text();
    assert_eq!(log.matches("[ERROR]").count(), 0, "{log}");
    assert_eq!(log.matches("Booting worker").count(), 4, "{log}");
}

/// Django's own page about an exception, which shows the stack and the environ.
fn debug_page(kind: ServerKind) {
    let server = Builder::new(kind).app("mysite.wsgi").chdir(DIR).args(["-e", "DEBUG=1"]).start();
    let response = server.get("/crash");
    assert_eq!(response.status, 500);
    let text = response.text();
    assert!(text.contains("RuntimeError at /crash"), "{text}");
    assert!(text.contains("wsgi.file_wrapper"), "{text}");
}
