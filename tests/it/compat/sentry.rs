//! sentry-sdk: its WSGI middleware and its integration with Flask.

use crate::harness::cases::on_both_servers;
use crate::harness::{Builder, ServerKind};

on_both_servers!(events);

/// What would be sent is written to a file, a line for each event.
const APP: &str = r#"
import flask, sentry_sdk
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk.transport import Transport

class Recorder(Transport):
    def capture_envelope(self, envelope):
        event = envelope.get_event() or envelope.get_transaction_event()
        if event is None:
            return
        if "logger" in event:
            error = event["exception"]["values"][-1]
            with open("events", "a") as file:
                print("logged by", event["logger"], error["type"], error["value"], file=file)
            return
        values = (event.get("exception") or {}).get("values") or [{}]
        request = event["request"]
        with open("events", "a") as file:
            print(
                event.get("type", "error"), event["transaction"], values[-1].get("type"),
                values[-1].get("value"), request["method"], request["query_string"],
                request["env"]["SERVER_NAME"], request["headers"]["X-Id"],
                file=file,
            )

sentry_sdk.init("http://key@localhost/1", transport=Recorder, traces_sample_rate=1.0)

site = flask.Flask(__name__)

@site.route("/flask/<what>")
def view(what):
    if what == "0":
        raise ZeroDivisionError("no zero")
    return what

@SentryWsgiMiddleware
def plain(environ, start_response):
    if environ["PATH_INFO"] == "/plain/0":
        raise LookupError("plain")
    start_response("200 OK", [("Content-Length", "5")])
    return [b"plain"]

def app(environ, start_response):
    if environ["PATH_INFO"] == "/bare":
        raise ValueError("bare")
    inner = plain if environ["PATH_INFO"].startswith("/plain") else site
    return inner(environ, start_response)
"#;

fn events(kind: ServerKind) {
    let server = Builder::new(kind).in_own_dir().file("monitored.py", APP);
    let server = server.app("monitored:app").start();
    let get = |target: &str| {
        let mut client = server.connect();
        client.send(format!(
            "GET {target}?a=b HTTP/1.1\r\nHost: shop\r\nX-Id: 7\r\nConnection: close\r\n\r\n"
        ));
        client.response().status
    };
    assert_eq!(
        ["/flask/1", "/flask/0", "/plain/1", "/plain/0", "/bare"].map(get),
        [200, 500, 200, 500, 500]
    );
    let text = std::fs::read_to_string(server.dir().join("events")).expect("there were events");
    assert_eq!(
        text,
        "transaction view None None GET a=b 127.0.0.1 7\n\
         error view ZeroDivisionError no zero GET a=b 127.0.0.1 7\n\
         transaction view None None GET a=b 127.0.0.1 7\n\
         transaction generic WSGI request None None GET a=b 127.0.0.1 7\n\
         error generic WSGI request LookupError plain GET a=b 127.0.0.1 7\n\
         transaction generic WSGI request None None GET a=b 127.0.0.1 7\n\
         logged by gunicorn.error ValueError bare\n"
    );
}
