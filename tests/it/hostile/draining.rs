//! Responses that their clients do not take: they wait in the event loop, and no more of them than
//! `response_buffer_size` is made ahead.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{MOMENT, builder, request, worker};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{Client, ServerKind, process};

on_rgunicorn!(slow_readers_delay_nobody, ahead_of_the_client, finished_generators);

const MIB: usize = 1_048_576;

fn slow_readers_delay_nobody(kind: ServerKind) {
    let server = builder(kind).start();
    assert_eq!(server.get("/big").body.len(), MIB);
    let before = process::resident(worker(&server));
    let mut readers: Vec<Client> = (0..20).map(|_| server.connect_narrow()).collect();
    for reader in &mut readers {
        reader.send("GET /huge?4 HTTP/1.1\r\nConnection: close\r\n\r\n");
        reader.wait_for(b"\r\n\r\n");
    }
    let began = Instant::now();
    assert_eq!(server.get("/plain").text(), "plain");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // What waits is the object that the application made, and not a copy.
    let held = process::resident(worker(&server)).saturating_sub(before);
    assert!(held < 20 * 5 * MIB, "{held} bytes for 20 responses of 4 MiB");
    for reader in &mut readers {
        assert_eq!(reader.response().body.len(), 4 * MIB);
    }
}

/// The file gets a byte for each piece of 16 KiB.
fn produced(path: &Path) -> usize {
    fs::metadata(path).map_or(0, |file| usize::try_from(file.len()).unwrap_or(0)) * 16384
}

fn ahead_of_the_client(kind: ServerKind) {
    let builder = builder(kind);
    let path = builder.dir().join("produced");
    let conf = "response_buffer_size = '64K'\n";
    let server = builder.file("gunicorn.conf.py", conf).env("PRODUCED", &path).start();
    let mut client = server.connect_narrow();
    client.send("GET /generate?32 HTTP/1.1\r\nConnection: close\r\n\r\n");
    client.wait_for(b"\r\n\r\n");
    // It has come to rest when nothing was made for a moment.
    let mut other = server.connect();
    let mut before = 0;
    while produced(&path) != before {
        before = produced(&path);
        assert!(other.is_silent_for(MOMENT));
    }
    // The kernel's share is a few MiB at most.
    assert!(before > 0 && before < 12 * MIB, "{before} bytes are made");
    let spent = process::cpu_time(worker(&server));
    assert!(other.is_silent_for(MOMENT * 2));
    let spent = process::cpu_time(worker(&server)).saturating_sub(spent);
    assert!(spent < MOMENT / 2, "waiting took {spent:?} of CPU time");
    assert_eq!(client.response().body.len(), 32 * MIB);
    assert_eq!(produced(&path), 32 * MIB);
    other.send(request("/plain"));
    assert_eq!(other.response().text(), "plain");
}

/// One that is done before its client is out of the way.
fn finished_generators(kind: ServerKind) {
    let builder = builder(kind);
    let path = builder.dir().join("produced");
    let conf = "response_buffer_size = '64M'\n";
    let server = builder.file("gunicorn.conf.py", conf).env("PRODUCED", &path).start();
    let mut client = server.connect_narrow();
    client.send("GET /generate?16 HTTP/1.1\r\nConnection: close\r\n\r\n");
    client.wait_for(b"\r\n\r\n");
    assert_eq!(server.get("/plain").text(), "plain");
    assert_eq!(produced(&path), 16 * MIB);
    assert_eq!(client.response().body.len(), 16 * MIB);
}
