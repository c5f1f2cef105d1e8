//! Processes that the application forks and that come back out of it are not workers.

use nix::sys::signal::Signal;

use crate::harness::cases::on_rgunicorn;
use crate::harness::{Builder, ServerKind};

on_rgunicorn!(children_end_with_the_request_and_leave_the_client_alone);

fn children_end_with_the_request_and_leave_the_client_alone(kind: ServerKind) {
    let mut server = Builder::new(kind).app("lifecycle:app").start();
    for (target, answer, log) in [
        ("/forks?exits", "7", ""),
        ("/forks?raises", "1", "ValueError: from the child"),
        ("/forks?returns", "0", ""),
        ("/forks_while_iterating", "ab", ""),
        ("/signals_of_forks", "-15 5", ""),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.text().as_str()), (200, answer), "{target}");
        server.log.wait_for(log);
    }
    // None of them is left to take signals or connections that are the worker's.
    assert_eq!(server.get("/closes").text(), "ok");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    server.assert_nothing_left();
}
