//! `examples/heroku`: a platform that reads a Procfile, played by honcho.

use std::env;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use crate::example::EXAMPLES;
use crate::harness::{Client, venv};
use crate::program::{Program, free_address};
use crate::tools;

#[test]
#[ignore = "run by tests/system/run"]
fn the_procfile_serves_where_the_platform_says() {
    let addr = free_address();
    let server = Path::new(env!("CARGO_BIN_EXE_rgunicorn")).parent().expect("it is in a directory");
    let path = env::var("PATH").expect("there is a search path");
    let mut honcho = Program::start(
        Command::new(tools::program("honcho"))
            .args(["--procfile", &format!("{EXAMPLES}/heroku/Procfile")])
            .arg("start")
            .current_dir(format!("{EXAMPLES}/flask"))
            .env("PATH", format!("{}:{path}", server.display()))
            .env("VIRTUAL_ENV", venv::path())
            .env("PORT", addr.port().to_string())
            .env("WEB_CONCURRENCY", "3"),
        addr,
    );
    honcho.out.wait_for_count("Booting worker with pid", 3);
    // The router adds the client's address behind what that claims to be.
    let mut client = Client::connect(addr);
    client.send(
        "GET /who HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-For: 192.0.2.9, 192.0.2.1\r\n\r\n",
    );
    let text: String = client.response().text().split_whitespace().collect();
    assert_eq!(text, r#"{"address":"192.0.2.1","url":"https://example.com/who"}"#);
    // Before the end: honcho tells workers to stop as well as the master, which may just replace one.
    assert_eq!(honcho.out.text().matches("Booting worker with pid").count(), 3);
    honcho.stop();
    honcho.out.wait_for("Shutting down: Master");
    assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
}
