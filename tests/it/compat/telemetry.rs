//! OpenTelemetry as its documentation has it for servers that fork: the provider, whose processor has a
//! thread, is set up in `post_fork`.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, ServerKind};

on_both_servers!(spans_of_workers_that_were_set_up_after_the_fork);

const CONF: &str = r#"
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

def line(span):
    where = span.resource.attributes
    return "%s %s %s\n" % (span.name, where["service.name"], where["worker"])

def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)
    resource = Resource.create({"service.name": "shop", "worker": worker.pid})
    exporter = ConsoleSpanExporter(out=open("spans", "a"), formatter=line)
    trace.set_tracer_provider(TracerProvider(resource=resource))
    trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(exporter))

def post_worker_init(worker):
    worker.log.info("ready to serve")
"#;

const APP: &str = r#"
import os
from opentelemetry import trace

tracer = trace.get_tracer("shop")

def app(environ, start_response):
    with tracer.start_as_current_span("sale"):
        start_response("200 OK", [])
        return [str(os.getpid()).encode()]
"#;

fn spans_of_workers_that_were_set_up_after_the_fork(kind: ServerKind) {
    for preload in [&[][..], &["--preload"]] {
        let builder = Builder::new(kind).in_own_dir().file("gunicorn.conf.py", CONF);
        let builder = builder.file("shop.py", APP).app("shop:app").args(preload);
        let mut server = builder.args(["-w", "2"]).start();
        server.log.wait_for_count("ready to serve", 2);
        let lines: Vec<_> =
            (0..4).map(|_| format!("sale shop {}\n", server.get("/").text())).collect();
        assert_eq!(server.stop(Signal::SIGTERM), 0);
        // What the thread had not sent yet is sent when the worker exits.
        let spans = fs::read_to_string(server.dir().join("spans")).expect("spans were exported");
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        assert_eq!(sorted(spans.split_inclusive('\n').map(String::from).collect()), sorted(lines));
    }
}
