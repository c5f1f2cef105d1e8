//! StatsD: the metrics and their form.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;

use crate::harness::cases::on_both_servers;
use crate::harness::wait::BOUND;
use crate::harness::{Builder, ServerKind};

on_both_servers!(metrics, over_unix, changed_by_a_reload);

/// Reads metrics until all of `wanted` have come, in whatever order; those that end in `:` with any value.
#[track_caller]
fn wait_for(wanted: &[&str], mut receive: impl FnMut(&mut [u8]) -> usize) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let is = |metric: &str, wanted: &str| {
        metric == wanted || wanted.ends_with(':') && metric.starts_with(wanted)
    };
    while !wanted.iter().all(|wanted| seen.iter().any(|metric| is(metric, wanted))) {
        let mut buffer = [0; 512];
        let count = receive(&mut buffer);
        assert!(count > 0, "{wanted:?} not in {seen:?}");
        seen.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    seen
}

fn metrics(kind: ServerKind) {
    let daemon = UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    daemon.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    let address = daemon.local_addr().expect("it is bound").to_string();
    let receive = |buffer: &mut [u8]| daemon.recv(buffer).unwrap_or(0);
    let server = Builder::new(kind)
        .app("supervised:app")
        .args(["--statsd-host", &address, "--statsd-prefix", "pre.fix..", "-w", "2"])
        .args(["--dogstatsd-tags", "a:b,c:d", "--enable-backlog-metric", "--log-level", "error"])
        .spawn();
    server.log.wait_for_count("note: loaded in ", 2);
    wait_for(
        &["pre.fix.gunicorn.workers:2|g|#a:b,c:d", "pre.fix.gunicorn.backlog:0|h|#a:b,c:d"],
        receive,
    );
    assert_eq!(server.get("/pid").status, 200);
    let seen = wait_for(
        &[
            "pre.fix.gunicorn.request.duration:",
            "pre.fix.gunicorn.requests:1|c|@1.0|#a:b,c:d",
            "pre.fix.gunicorn.request.status.200:1|c|@1.0|#a:b,c:d",
        ],
        receive,
    );
    let duration = seen.iter().find(|metric| metric.contains("duration")).expect("just seen");
    let value = duration.split_once(':').and_then(|(_, rest)| rest.split_once("|ms|#a:b,c:d"));
    assert!(
        value.is_some_and(|(number, rest)| {
            rest.is_empty() && number.contains('.') && number.parse::<f64>().is_ok()
        }),
        "{duration}"
    );

    // Counted although it is not shown.
    server.exchange("BAD\r\n\r\n");
    wait_for(&["pre.fix.gunicorn.log.warning:1|c|@1.0|#a:b,c:d"], receive);
    assert!(!server.log.text().contains("Invalid request"));

    assert_eq!(server.get("/none").status, 500);
    wait_for(
        &[
            "pre.fix.gunicorn.log.exception:1|c|@1.0|#a:b,c:d",
            "pre.fix.gunicorn.request.status.500:1|c|@1.0|#a:b,c:d",
        ],
        receive,
    );
    server.signal(Signal::SIGTTIN);
    wait_for(&["pre.fix.gunicorn.workers:3|g|#a:b,c:d"], receive);
}

fn over_unix(kind: ServerKind) {
    let builder = Builder::new(kind).app("echo:quiet");
    let path = builder.dir().join("statsd");
    let daemon = UnixDatagram::bind(&path).expect("the path is free");
    daemon.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    let address = format!("unix://{}", path.display());
    let server = builder.args(["--statsd-host", &address]).start();
    assert_eq!(server.get("/").status, 200);
    wait_for(&["gunicorn.workers:1|g", "gunicorn.requests:1|c|@1.0"], |buffer| {
        daemon.recv(buffer).unwrap_or(0)
    });
}

/// Address, prefix and tags are those of the configuration that a worker was started with, in gunicorn those of
/// the start. Neither is different when records go through Python's loggers.
fn changed_by_a_reload(kind: ServerKind) {
    let daemons = [(); 2].map(|()| {
        let daemon = UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
        daemon.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
        daemon
    });
    let conf = |index: usize, more: &str| {
        let address = daemons[index].local_addr().expect("it is bound");
        format!("statsd_host = '{address}'\n{more}\n")
    };
    let receive = |index: usize| {
        let daemon = &daemons[index];
        move |buffer: &mut [u8]| daemon.recv(buffer).unwrap_or(0)
    };
    for filtered in ["", FILTERED] {
        let server = Builder::new(kind)
            .file("gunicorn.conf.py", &(conf(0, "statsd_prefix = 'old'") + filtered))
            .app("echo:quiet")
            .start();
        server.get("/");
        wait_for(&["old.gunicorn.workers:1|g", "old.gunicorn.requests:1|c|@1.0"], receive(0));
        let changed = conf(1, "statsd_prefix = 'new'\ndogstatsd_tags = 'a:b'") + filtered;
        std::fs::write(server.dir().join("gunicorn.conf.py"), changed).expect("write");
        let mark = server.log.mark();
        server.signal(Signal::SIGHUP);
        server.log.wait_for_since(mark, "Worker exiting (pid: ");
        server.get("/");
        if kind.is_rgunicorn() {
            wait_for(&["new.gunicorn.requests:1|c|@1.0|#a:b"], receive(1));
        } else {
            wait_for(&["old.gunicorn.requests:1|c|@1.0"], receive(0));
        }
    }
}

/// Makes requests go through Python's loggers.
const FILTERED: &str = "
import logging
logging.getLogger('gunicorn.access').addFilter(lambda record: True)
";
