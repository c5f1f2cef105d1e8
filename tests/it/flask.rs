//! The Flask example, end to end.

use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, ServerKind};
use crate::site;

on_both_servers!(example);

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/flask");

fn example(kind: ServerKind) {
    let server = Builder::new(kind).app("app:app").chdir(DIR).args(["-w", "4"]).start();
    site::check(&server);
    // Nothing but the deliberate failure went wrong.
    let log = server.log.text();
    assert_eq!(log.matches("[ERROR]").count(), 0, "{log}");
    assert_eq!(log.matches("Booting worker").count(), 4, "{log}");
}
