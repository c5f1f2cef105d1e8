//! TERM to the whole server: everything that was sent is answered, and clients are told that their
//! connections end.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::steady::Steady;
use super::{Held, ask, builder, crowd, hold, request, seen};
use crate::harness::cases::on_rgunicorn;
use crate::harness::{BOUND, Client, ServerKind, until};

on_rgunicorn!(
    those_that_wait_are_answered,
    the_last_response_says_so,
    idle_connections_may_still_ask,
    pipelined_requests_are_answered,
    a_full_queue_is_emptied,
    a_dead_master_loses_no_request,
    with_a_delay_it_goes_on_and_says_so,
    a_short_delay_ends_by_itself,
);

const LAYOUTS: [(usize, usize); 3] = [(2, 1), (1, 2), (2, 2)];

/// Complete requests behind busy slots, and one that is not complete yet.
fn those_that_wait_are_answered(kind: ServerKind) {
    for (workers, threads) in LAYOUTS {
        let slots = workers * threads;
        let mut server =
            builder(kind).args(["--threads", &threads.to_string()]).start_ready(workers);
        let (_, mut clients) = crowd(&server, slots + 4);
        let held: Vec<Held> = clients.drain(..slots).map(|client| hold(&server, client)).collect();
        clients.push(server.connect());
        let (last, waiting) = clients.split_last_mut().expect("some");
        for client in &mut *waiting {
            client.send(request("/facts"));
            assert!(client.is_silent_for(Duration::from_millis(10)));
        }
        last.send("GET /facts HTTP/1.1\r\n");
        assert!(last.is_silent_for(Duration::from_millis(10)));
        server.signal(Signal::SIGTERM);
        server.log.wait_for("Handling signal: term");
        last.send("Host: a\r\n\r\n");
        assert!(last.is_silent_for(Duration::from_millis(50)));
        for held in held {
            let (mut client, seen) = held.finish();
            // Its head was sent when the application had answered, after the signal.
            assert_eq!(seen.connection.as_deref(), Some("keep-alive"));
            client.assert_closed();
        }
        for client in &mut clients {
            let seen = seen(client);
            assert_eq!(seen.connection.as_deref(), Some("close"), "{workers}x{threads}");
            client.assert_closed();
        }
        assert_eq!(server.wait_exit(BOUND).code(), Some(0));
        server.assert_nothing_left();
    }
}

/// Under load every connection ends behind a response that says so.
fn the_last_response_says_so(kind: ServerKind) {
    for (workers, threads) in LAYOUTS {
        for target in ["/pid", "/nap?2"] {
            let mut server =
                builder(kind).args(["--threads", &threads.to_string()]).start_ready(workers);
            let clients = Steady::get(server.addr, 32, target);
            clients.wait_more(500);
            assert_eq!(server.stop(Signal::SIGTERM), 0);
            for (number, course) in clients.join().iter().enumerate() {
                let layout = format!("client {number} of {workers}x{threads} at {target}");
                assert_eq!(course.error, None, "{layout}");
                assert!(course.said_close, "{layout}");
            }
            server.assert_nothing_left();
        }
    }
}

/// A request that crosses the signal on its way is answered.
fn idle_connections_may_still_ask(kind: ServerKind) {
    let mut server = builder(kind).start_ready(2);
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        ask(client, "/pid");
    }
    server.signal(Signal::SIGTERM);
    server.log.wait_for("Handling signal: term");
    for client in &mut clients {
        // The workers are told a moment later.
        until(BOUND, "a response that says so", || {
            (ask(client, "/facts").connection.as_deref() == Some("close")).then_some(())
        });
        client.assert_closed();
    }
    assert_eq!(server.wait_exit(BOUND).code(), Some(0));
}

/// Several requests on one connection, all of them sent before the signal.
fn pipelined_requests_are_answered(kind: ServerKind) {
    let mut server = builder(kind).start_ready(1);
    let (_, mut clients) = crowd(&server, 2);
    let mut waiting = clients.pop().expect("two of them");
    let mut held = hold(&server, clients.pop().expect("one is left"));
    let three: String = (0..3).map(|number| request(&format!("/facts?{number}"))).collect();
    waiting.send(&three);
    held.client.send(&three);
    assert!(waiting.is_silent_for(Duration::from_millis(50)));
    server.signal(Signal::SIGTERM);
    server.log.wait_for("Handling signal: term");
    let (client, _) = held.finish();
    for mut client in [client, waiting] {
        for number in 0..3 {
            let seen = seen(&mut client);
            assert_eq!(seen.fact("QUERY_STRING"), number.to_string());
            // The worker may be told only when it has begun with the last one.
            if number < 2 {
                assert_eq!(seen.connection.as_deref(), Some("keep-alive"));
            }
        }
        client.assert_closed();
    }
    assert_eq!(server.wait_exit(BOUND).code(), Some(0));
}

/// What one worker has given away is taken by those that end as well.
fn a_full_queue_is_emptied(kind: ServerKind) {
    let mut server = builder(kind).start_ready(2);
    let [oldest, other] = server.wait_workers(2)[..] else { unreachable!("two of them") };
    let held = super::hold_worker(&server, other);
    let (owner, mut clients) = crowd(&server, 20);
    assert_eq!(owner, oldest);
    server.signal(Signal::SIGTTOU);
    server.log.wait_for(&format!("Worker exiting (pid: {oldest})"));
    for client in &mut clients {
        client.send(request("/facts"));
    }
    server.signal(Signal::SIGTERM);
    server.log.wait_for("Handling signal: term");
    held.finish();
    for client in &mut clients {
        let seen = seen(client);
        assert_eq!((seen.pid(), seen.connection.as_deref()), (other, Some("close")));
    }
    assert_eq!(server.wait_exit(BOUND).code(), Some(0));
}

/// Workers that outlive their master hand nothing over: what waits in the queue is answered by them.
fn a_dead_master_loses_no_request(kind: ServerKind) {
    let mut server = builder(kind).start_ready(2);
    let held: Vec<_> = (0..2).map(|_| hold(&server, server.connect())).collect();
    let mut waiting = server.connect();
    waiting.send(request("/facts"));
    assert!(waiting.is_silent_for(Duration::from_millis(200)));
    server.signal(Signal::SIGKILL);
    server.log.wait_for_count("Parent changed, shutting down", 2);
    super::finish_all(held);
    assert_eq!(seen(&mut waiting).connection.as_deref(), Some("close"));
    assert_eq!(server.wait_exit(BOUND).code(), None);
}

/// `shutdown_delay`: everybody is served, and no connection beyond its next response.
fn with_a_delay_it_goes_on_and_says_so(kind: ServerKind) {
    let mut server = builder(kind).args(["--shutdown-delay", "600"]).start_ready(2);
    let mut kept = server.connect();
    assert_eq!(ask(&mut kept, "/facts").connection.as_deref(), Some("keep-alive"));
    server.signal(Signal::SIGTERM);
    server.log.wait_for("Stopping in 600 s (shutdown_delay)");
    for mut client in [kept, server.connect(), server.connect()] {
        assert_eq!(ask(&mut client, "/facts").connection.as_deref(), Some("close"));
        client.assert_closed();
    }
    server.signal(Signal::SIGHUP);
    server.log.wait_for("Ignored: the server is about to stop.");
    assert_eq!(server.wait_workers(2).len(), 2);
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.assert_nothing_left();
}

/// A short delay needs no second signal.
fn a_short_delay_ends_by_itself(kind: ServerKind) {
    let mut server = builder(kind).args(["--shutdown-delay", "0.5"]).start_ready(2);
    server.signal(Signal::SIGTERM);
    server.log.wait_for("Stopping in 0.5 s (shutdown_delay)");
    assert_eq!(ask(&mut server.connect(), "/facts").connection.as_deref(), Some("close"));
    assert_eq!(server.wait_exit(BOUND).code(), Some(0));
    server.assert_nothing_left();
}
