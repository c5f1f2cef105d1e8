//! Every atom of the access log, over many requests: both servers write the same lines.

use crate::harness::{Builder, Client, Server, ServerKind};

/// All atoms but the time and the durations, whose values differ from run to run.
const ATOMS: [&str; 29] = [
    "%(h)s",
    "%(l)s",
    "%(u)s",
    "%(r)s",
    "%(m)s",
    "%(U)s",
    "%(q)s",
    "%(H)s",
    "%(s)s",
    "%(B)s",
    "%(b)s",
    "%(f)s",
    "%(a)s",
    "%({x-one}i)s",
    "%({X-ONE}I)s",
    "%({cookie}i)s",
    "%({host}i)s",
    "%({x-one}o)s",
    "%({Content-Type}O)s",
    "%({server}o)s",
    "%({date}o)s",
    "%({path_info}e)s",
    "%({REQUEST_METHOD}E)s",
    "%({wsgi.url_scheme}e)s",
    "%({app.number}e)s",
    "%({app.text}e)s",
    "%({app.none}e)s",
    "%({none}x)s",
    "%(none)s",
];

/// Conversions of Python's `%`.
const CONVERSIONS: &str = "%(s)5s;%(s)-5s;%(m).2s;%(H)12.4s;%(B)d;%(B)05d;%(B)+d;%(B) i;%(B)-4u;%(B).3d;\
                           %(b)4s;%(zz)3s;%(l)03s;%%;%(h)#s;%(U)ls;%(B)x;%(B)#06X;%(B)#o;%(B)f;%(B)+9.1f;\
                           %(B)#.0f;%(B)e;%(B)G;%(B)#.3g;%(B)010.2e;%(B)r;%(b)r;%(B)05a;%(s)r;%(m)6.3a;\
                           %(l)r;%({wsgi.version}e)s;%({wsgi.version}e)r";

const REQUESTS: [&str; 33] = [
    "GET /plain HTTP/1.1\r\n\r\n",
    "HEAD /plain HTTP/1.1\r\n\r\n",
    "GET /plain HTTP/1.0\r\n\r\n",
    "GET /plain HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET http://other.test/plain?x HTTP/1.1\r\nHost: other.test\r\n\r\n",
    "GET //plain HTTP/1.1\r\n\r\n",
    "GET /plain?a=b&c=%20d?e HTTP/1.1\r\n\r\n",
    "GET /plain? HTTP/1.1\r\n\r\n",
    "GET /plain#fragment HTTP/1.1\r\n\r\n",
    "GET /plain/a%20b/%22quoted%22 HTTP/1.1\r\n\r\n",
    "GET /plain/%C3%A9%E9%A0 HTTP/1.1\r\n\r\n",
    "GET /plain/back\\slash HTTP/1.1\r\n\r\n",
    "GET /empty HTTP/1.1\r\n\r\n",
    "GET /same HTTP/1.1\r\n\r\n",
    "GET /chunks HTTP/1.1\r\n\r\n",
    "GET /chunks HTTP/1.0\r\n\r\n",
    "HEAD /chunks HTTP/1.1\r\n\r\n",
    "GET /write HTTP/1.1\r\n\r\n",
    "GET /file HTTP/1.1\r\n\r\n",
    "GET /status?200+Very+OK HTTP/1.1\r\n\r\n",
    "GET /status?404 HTTP/1.1\r\n\r\n",
    "GET /status?599+%22 HTTP/1.1\r\n\r\n",
    "POST /body HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "PUT /changed?y HTTP/1.1\r\nReferer: there\r\n\r\n",
    "GET /fail HTTP/1.1\r\n\r\n",
    "GET /plain HTTP/1.1\r\nX-One: 1\r\nx-one: 2\r\nX-ONE: say \"3\"\r\nCookie: a=b; c=\"d\"\r\n\r\n",
    "GET /plain HTTP/1.1\r\nReferer: http://r/\r\nReferer: b\r\nUser-Agent: a (b; \"c\")\r\nUser-Agent: \r\n\r\n",
    "GET /plain HTTP/1.1\r\nUser-Agent: caf\u{e9}\r\nX-One: \u{4e2d}\r\nReferer:\r\n\r\n",
    "GET /plain HTTP/1.1\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\r\n",
    "GET /plain HTTP/1.1\r\nAuthorization: basic Og==\r\n\r\n",
    "GET /plain HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
];

/// Sends the requests one by one, each on a connection of its own, and returns the lines.
fn lines(server: &Server, connect: impl Fn() -> Client) -> Vec<String> {
    REQUESTS
        .iter()
        .map(|request| {
            let mark = server.out.mark();
            let mut client = connect();
            client.send(request);
            client.end_sending();
            client.read_to_end();
            server.out.wait_for_since(mark, "|end").replace(&server.workers()[0].to_string(), "PID")
        })
        .collect()
}

fn start(kind: ServerKind, address: Option<&str>) -> Server {
    let format = format!("{}|{CONVERSIONS}|%(p)s|end", ATOMS.join("|"));
    let builder = Builder::new(kind).app("logged:app");
    let builder = match address {
        Some(address) => builder.binding(address),
        None => builder,
    };
    builder.args(["--access-logfile", "-", "--access-logformat", &format]).start()
}

/// Where `%(U)s`, `%({path_info}e)s`, `%({wsgi.url_scheme}e)s` and `%(U)ls` stand in a line.
const LATE: [usize; 4] = [5, 21, 23, 29];

fn compare(ours: &[String], theirs: &[String]) {
    for ((request, ours), theirs) in REQUESTS.iter().zip(ours).zip(theirs) {
        let (mut ours, mut theirs): (Vec<&str>, Vec<&str>) =
            (ours.split('|').collect(), theirs.split('|').collect());
        // gunicorn does not show all of the environ of a request that it answers with an error page.
        if theirs[LATE[0]] == "None" {
            for line in [&mut ours, &mut theirs] {
                for at in LATE {
                    line[at] = "";
                }
            }
        }
        assert_eq!(ours, theirs, "{request:?}");
    }
}

#[test]
fn both_servers_write_the_same_lines() {
    if std::env::var_os("SERVER_UNDER_TEST").is_some() {
        // It takes both.
        return;
    }
    let [ours, theirs] = [ServerKind::Rgunicorn, ServerKind::Gunicorn].map(|kind| {
        let server = start(kind, None);
        lines(&server, || server.connect())
    });
    compare(&ours, &theirs);

    // Clients of a unix socket have no address.
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let [ours, theirs] = [ServerKind::Rgunicorn, ServerKind::Gunicorn].map(|kind| {
        let path = place.path().join(kind.name());
        let server = start(kind, Some(&format!("unix:{}", path.display())));
        lines(&server, || Client::connect_unix(&path))
    });
    assert!(ours[0].starts_with("|-|"), "{}", ours[0]);
    compare(&ours, &theirs);
}
