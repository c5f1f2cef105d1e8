//! A bounded version of `benches/hostile.py`: hundreds of clients of every slow kind at once, and
//! one that is not.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{builder, request, worker};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{Client, Server, ServerKind, process};

on_rgunicorn!(crowd);

/// Clients of each kind.
const EACH: usize = 250;
/// What the worker may keep for each.
const MEMORY: usize = 8 * 1024;

struct Kind {
    name: &'static str,
    opening: &'static str,
    narrow: bool,
    /// What the client waits for before it is slow.
    comes: &'static [u8],
}

const KINDS: &[Kind] = &[
    Kind {
        name: "slow head",
        opening: "GET /plain HTTP/1.1\r\nHost: a\r\nX: ",
        narrow: false,
        comes: b"",
    },
    Kind {
        name: "slow body",
        opening: "POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
        narrow: false,
        comes: b"",
    },
    Kind {
        name: "slow reader",
        opening: "GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
        narrow: true,
        comes: b"\r\n\r\n",
    },
    Kind {
        name: "idle",
        opening: "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n",
        narrow: false,
        comes: b"\r\n\r\nplain",
    },
];

fn crowd(kind: ServerKind) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("it can be raised to the hard one");
    let conf = "worker_connections = 10000\nkeepalive = 600\n";
    let server = builder(kind).file("gunicorn.conf.py", conf).start();
    // What the first requests of each kind leave behind is not for the connections.
    for target in ["/plain", "/big", "/plain"] {
        assert_eq!(server.get(target).status, 200);
    }
    drop(join(&server, &KINDS[0], 20));
    drop(join(&server, &KINDS[1], 20));
    let mut held = Vec::new();
    for kind in KINDS {
        let before = process::resident(worker(&server));
        let mut clients = join(&server, kind, EACH);
        serve_normal_client(&server);
        let each = process::resident(worker(&server)).saturating_sub(before) / EACH;
        assert!(each <= MEMORY, "{each} bytes per connection: {}", kind.name);
        for client in clients.iter_mut().filter(|_| !kind.comes.is_empty()) {
            client.wait_for(kind.comes);
        }
        held.push(clients);
    }
    for _ in 0..3 {
        // A byte more from everybody who owes some.
        for client in held[..2].iter_mut().flatten() {
            client.send("x");
        }
        serve_normal_client(&server);
    }
    // Each of them is still there and gets what it came for.
    for client in &mut held[0] {
        client.send("\r\n\r\n");
        assert_eq!(client.response().text(), "plain");
    }
    // Reading takes a while with so narrow a window: some stand for all.
    for client in held[2].iter_mut().step_by(EACH / 10) {
        assert_eq!(client.response().body.len(), 1_048_576);
    }
    for client in &mut held[3] {
        assert_eq!(client.response().text(), "plain");
        client.send(request("/plain"));
        assert_eq!(client.response().text(), "plain");
    }
    let log = server.log.text();
    assert!(!log.contains("[ERROR]") && !log.contains("[WARNING]"), "{log}");
}

fn join(server: &Server, kind: &Kind, count: usize) -> Vec<Client> {
    let open = |_| {
        let mut client = if kind.narrow { server.connect_narrow() } else { server.connect() };
        client.send(kind.opening);
        client
    };
    (0..count).map(open).collect()
}

/// Half of the requests over one connection, half over new ones: all are answered, and soon.
#[track_caller]
fn serve_normal_client(server: &Server) {
    let mut kept = server.connect();
    for _ in 0..50 {
        let began = Instant::now();
        kept.send(request("/plain"));
        assert_eq!(kept.response().text(), "plain");
        assert_eq!(server.get("/plain").text(), "plain");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}
