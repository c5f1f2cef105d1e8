//! The event loop with real sockets and a handler that answers at once.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::exchange::Facts;
use super::output::Output;
use super::testing::Quiet;
use super::*;
use crate::http::{Limits, Policy};
use crate::net::address::Address;
use crate::net::listener::Opening;
use crate::net::stream::Stream;

/// A slot that answers each request with its target, and counts.
struct Echo {
    workspace: Workspace,
    exchange: Arc<Exchange>,
    served: usize,
}

impl Echo {
    fn new(reactor: &mut Reactor<'_>) -> Self {
        Self { workspace: Workspace::new(), exchange: reactor.exchange(), served: 0 }
    }

    /// Answers what the last poll found.
    fn turn(&mut self, reactor: &mut Reactor<'_>) {
        while let Some(mut job) = reactor.next(&mut self.workspace, &self.exchange, &Quiet) {
            self.answer(&self.workspace.request(&mut job));
            self.served += 1;
            reactor.finish(job.finish(&self.exchange));
        }
    }

    fn answer(&self, request: &Request<'_>) {
        let exchange = &self.exchange;
        let serial = exchange.renew();
        let length = request.head.target().len().to_string();
        exchange
            .start(serial, (200, b"200 OK"), false, |headers| {
                headers.push(b"Content-Length", length.as_bytes())
            })
            .expect("a valid response");
        exchange
            .write(serial, request.head.target(), When::End, || Box::new([]))
            .expect("the client is there");
    }
}

fn options(connections: usize) -> Options {
    let minute = Duration::from_secs(60);
    Options {
        parser: HeadParser::new(Limits::new(4094, 100, 8190), Policy::default()),
        trusted: TrustList::default(),
        proxy: ProxyProtocol::default(),
        buffering: true,
        storage: Storage { memory: 1 << 20, directory: std::env::temp_dir() },
        body_limit: 0,
        high_water: 1 << 20,
        head_patience: minute,
        patience: Patience { write: minute, body: minute },
        keep_alive: minute,
        connections,
        shared: false,
        queue_patience: Duration::ZERO,
    }
}

fn listeners() -> (Vec<Listener>, SocketAddr) {
    let address = Address::parse("127.0.0.1:0").expect("an address");
    let listeners = Listener::bind_all(&[address], Opening::with_backlog(16)).expect("a free port");
    let port = listeners[0].server_port.parse().expect("a port");
    (listeners, SocketAddr::from(([127, 0, 0, 1], port)))
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).expect("the listener is there");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    client
}

fn ask(client: &mut TcpStream, target: &str) {
    client.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).expect("sent");
}

fn answer(client: &mut TcpStream) -> String {
    let mut buffer = [0; 1024];
    let count = client.read(&mut buffer).expect("an answer");
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

/// Turns until so many requests have been served.
fn serve(reactor: &mut Reactor<'_>, echo: &mut Echo, count: usize) {
    while echo.served < count {
        reactor.poll(None).expect("poll");
        echo.turn(reactor);
    }
}

#[test]
fn the_longest_idle_connection_makes_room() {
    let (listeners, address) = listeners();
    let queue = Queue::new().expect("a queue");
    let mut reactor = Reactor::new(&listeners, &queue, options(2)).expect("a reactor");
    let mut first = connect(address);
    ask(&mut first, "/first");
    let mut echo = Echo::new(&mut reactor);
    serve(&mut reactor, &mut echo, 1);
    assert!(answer(&mut first).ends_with("/first"));
    let mut second = connect(address);
    ask(&mut second, "/second");
    serve(&mut reactor, &mut echo, 2);
    assert!(answer(&mut second).ends_with("/second"));
    assert_eq!(answer(&mut first), "");
}

#[test]
fn a_request_on_its_way_is_not_closed_as_idle() {
    let (listeners, address) = listeners();
    let queue = Queue::new().expect("a queue");
    let mut reactor = Reactor::new(&listeners, &queue, options(2)).expect("a reactor");
    let mut first = connect(address);
    ask(&mut first, "/first");
    let mut echo = Echo::new(&mut reactor);
    serve(&mut reactor, &mut echo, 1);
    assert!(answer(&mut first).ends_with("/first"));
    // Both are there before the event loop looks again.
    ask(&mut first, "/again");
    let mut second = connect(address);
    ask(&mut second, "/second");
    serve(&mut reactor, &mut echo, 3);
    assert!(answer(&mut first).ends_with("/again"));
    assert!(answer(&mut second).ends_with("/second"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (listeners, address) = listeners();
    let queue = Queue::new().expect("a queue");
    let mut reactor = Reactor::new(&listeners, &queue, options(10)).expect("a reactor");
    let mut client = connect(address);
    let count = 48;
    for number in 0..count {
        ask(&mut client, &format!("/{number}"));
    }
    let mut echo = Echo::new(&mut reactor);
    serve(&mut reactor, &mut echo, count);
    let last = format!("/{}", count - 1);
    let mut answers = String::new();
    while !answers.ends_with(&last) {
        answers += &answer(&mut client);
    }
    let targets: Vec<&str> =
        answers.split("\r\n\r\n").skip(1).filter_map(|rest| rest.split("HTTP").next()).collect();
    let expected: Vec<String> = (0..count).map(|n| format!("/{n}")).collect();
    assert_eq!(targets, expected);
}

/// What is there has its turn before more of the connection is read: neither is any of it lost with
/// the end of the connection, nor does a client that sends fast fill the memory.
#[test]
fn pipelined_requests_wait_in_the_kernel() {
    let (listeners, address) = listeners();
    let queue = Queue::new().expect("a queue");
    let mut reactor = Reactor::new(&listeners, &queue, options(10)).expect("a reactor");
    let client = connect(address);
    let count = 6000;
    let sending = client.try_clone().expect("a second descriptor");
    let sender = std::thread::spawn(move || {
        let mut client = sending;
        let all = "GET / HTTP/1.1\r\nHost: a.long.name.for.a.host\r\n\r\n".repeat(count);
        client.write_all(all.as_bytes()).expect("sent");
        client.shutdown(Shutdown::Write).expect("still there");
    });
    let reader = std::thread::spawn(move || {
        let mut client = client;
        let mut answers = String::new();
        client.read_to_string(&mut answers).expect("answers and an end");
        answers.matches("HTTP/1.1 200 OK").count()
    });
    let mut echo = Echo::new(&mut reactor);
    let mut most = 0;
    while echo.served == 0 || reactor.len() > 0 {
        reactor.poll(None).expect("poll");
        echo.turn(&mut reactor);
        let held = reactor.connections.iter().map(|(_, connection)| connection.input.len());
        most = held.fold(most, usize::max);
    }
    sender.join().expect("all was sent");
    assert_eq!((echo.served, reader.join().expect("all was read")), (count, count));
    assert!(most < 2 * READ_SIZE, "{most} bytes of requests were held");
}

/// What a client has been sent so far.
fn sent(client: &TcpStream) -> bool {
    client.set_nonblocking(true).expect("no wait");
    let peeked = client.peek(&mut [0]);
    client.set_nonblocking(false).expect("a wait");
    matches!(peeked, Ok(1))
}

/// Connections that have been served once, each with a request that one poll finds.
fn asking<const N: usize>(
    reactor: &mut Reactor<'_>,
    echo: &mut Echo,
    address: SocketAddr,
    methods: [&str; N],
) -> [TcpStream; N] {
    let mut clients = methods.map(|_| connect(address));
    // In the second round the event loop knows that requests are short.
    for _ in 0..2 {
        for client in &mut clients {
            ask(client, "/before");
        }
        let target = echo.served + N;
        serve(reactor, echo, target);
        for client in &mut clients {
            assert!(answer(client).ends_with("/before"));
        }
    }
    reactor.held.brisk = true;
    for (client, method) in clients.iter_mut().zip(methods) {
        let request = format!("{method} /now HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).expect("sent");
    }
    clients
}

#[test]
fn short_responses_go_out_together() {
    let (listeners, address) = listeners();
    let queue = Queue::new().expect("a queue");
    let mut reactor = Reactor::new(&listeners, &queue, options(10)).expect("a reactor");
    let mut echo = Echo::new(&mut reactor);
    let mut clients = asking(&mut reactor, &mut echo, address, ["GET"; 3]);
    reactor.poll(None).expect("poll");
    assert_eq!(reactor.events.len(), 3);
    for _ in 0..3 {
        let mut job = reactor.next(&mut echo.workspace, &echo.exchange, &Quiet).expect("a request");
        echo.answer(&echo.workspace.request(&mut job));
        reactor.finish(job.finish(&echo.exchange));
        // However long this test was kept from running.
        reactor.held.clock = reactor.held.since;
        reactor.held.brisk = true;
        assert!(!clients.iter().any(sent));
    }
    assert!(reactor.next(&mut echo.workspace, &echo.exchange, &Quiet).is_none());
    for client in &mut clients {
        assert!(answer(client).ends_with("/now"));
    }
}

#[test]
fn responses_to_requests_that_must_not_be_repeated_go_out_at_once() {
    let (listeners, address) = listeners();
    let queue = Queue::new().expect("a queue");
    let mut reactor = Reactor::new(&listeners, &queue, options(10)).expect("a reactor");
    let mut echo = Echo::new(&mut reactor);
    let clients = asking(&mut reactor, &mut echo, address, ["POST"; 2]);
    reactor.poll(None).expect("poll");
    let mut job = reactor.next(&mut echo.workspace, &echo.exchange, &Quiet).expect("a request");
    echo.answer(&echo.workspace.request(&mut job));
    assert!(clients.iter().any(sent));
}

#[test]
fn a_response_is_not_held_for_long() {
    let (listeners, address) = listeners();
    let queue = Queue::new().expect("a queue");
    let mut reactor = Reactor::new(&listeners, &queue, options(10)).expect("a reactor");
    let mut echo = Echo::new(&mut reactor);
    let clients = asking(&mut reactor, &mut echo, address, ["GET"; 3]);
    reactor.poll(None).expect("poll");
    for _ in 0..2 {
        let mut job = reactor.next(&mut echo.workspace, &echo.exchange, &Quiet).expect("a request");
        echo.answer(&echo.workspace.request(&mut job));
        reactor.finish(job.finish(&echo.exchange));
        reactor.held.brisk = true;
        // The request seems to have taken so long.
        reactor.held.since = reactor.held.since.min(reactor.held.clock.saturating_sub(1_000_000));
    }
    let third = reactor.next(&mut echo.workspace, &echo.exchange, &Quiet);
    assert!(third.is_some());
    assert_eq!(clients.iter().filter(|client| sent(client)).count(), 2);
}

#[test]
fn whoever_drives_sends_the_response_of_an_application_that_goes_on() {
    let (listeners, address) = listeners();
    let queue = Queue::new().expect("a queue");
    let mut reactor = Reactor::new(&listeners, &queue, options(10)).expect("a reactor");
    let mut echo = Echo::new(&mut reactor);
    let clients = asking(&mut reactor, &mut echo, address, ["GET"; 2]);
    reactor.poll(None).expect("poll");
    let mut job = reactor.next(&mut echo.workspace, &echo.exchange, &Quiet).expect("a request");
    echo.answer(&echo.workspace.request(&mut job));
    assert!(!clients.iter().any(sent));
    reactor.gather(&Quiet);
    assert_eq!(clients.iter().filter(|client| sent(client)).count(), 1);
    reactor.finish(job.finish(&echo.exchange));
    // That request was long enough for others to drive.
    assert!(!reactor.held.brisk);
    echo.turn(&mut reactor);
    assert!(clients.iter().all(sent));
}

#[test]
fn who_has_waited_longer_than_the_request_is_told_nothing_of_the_next() {
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let stream = Arc::new(Stream::new(ours.into()));
    let parser = HeadParser::new(Limits::new(4094, 100, 8190), Policy::default());
    let second = Duration::from_secs(1);
    let exchange = Exchange::new(parser, 1000, Patience { write: second, body: second });
    let facts = Facts { minor: 1, head: false, keep_alive: true, at_once: false, hold: false };
    let serial = exchange.renew();
    exchange.begin(Arc::clone(&stream), Output::default(), facts, None);
    assert_eq!(exchange.wait_writable(serial).expect("there is room"), Progress::Open);
    exchange.end();
    let next = exchange.renew();
    exchange.begin(stream, Output::default(), facts, None);
    assert!(matches!(exchange.wait_writable(serial), Err(Refusal::Over)));
    assert_eq!(exchange.wait_writable(next).expect("there is room"), Progress::Open);
}
