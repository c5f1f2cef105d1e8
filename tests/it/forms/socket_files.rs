//! Unix sockets: whose they are, who may connect, and those without a file.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};

use crate::harness::cases::{on_both_servers, on_rgunicorn};
use crate::harness::{Builder, Client, ServerKind};

on_both_servers!(umask);

on_rgunicorn!(mode_and_owner, abstract_names, wrong_modes);

/// Permission bits, owner and group of the socket of a server with these arguments.
#[track_caller]
fn socket_of(kind: ServerKind, args: &[&str]) -> (u32, u32, u32) {
    let builder = Builder::new(kind).app("echo:app");
    let path = builder.dir().join("web.sock");
    let server = builder.binding(&format!("unix:{}", path.display())).args(args).start();
    let found = fs::symlink_metadata(&path).expect("the socket is there");
    drop(server);
    (found.mode() & 0o7777, found.uid(), found.gid())
}

fn umask(kind: ServerKind) {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    assert_eq!(socket_of(kind, &[]), (0o777, uid, gid));
    assert_eq!(socket_of(kind, &["--umask", "027"]), (0o750, uid, gid));
    assert_eq!(socket_of(kind, &["-m", "0o117", "-u", &uid.to_string()]), (0o660, uid, gid));
}

fn mode_and_owner(kind: ServerKind) {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let own = [uid.to_string(), gid.to_string()];
    let args = ["--socket-mode", "0660", "--socket-user", &own[0], "--socket-group", &own[1]];
    assert_eq!(socket_of(kind, &args), (0o660, uid, gid));
    let args = ["--socket-user", "65534", "--socket-group", "65533", "--socket-mode", "0600"];
    if geteuid().is_root() {
        assert_eq!(socket_of(kind, &args), (0o600, 65534, 65533));
        return;
    }
    let builder = Builder::new(kind).app("echo:app");
    let path = format!("unix:{}", builder.dir().join("web.sock").display());
    let outcome = builder.binding(&path).args(args).run();
    assert_eq!(outcome.status, Some(1));
    let message = " to user 65534 and group 65533";
    assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
}

fn wrong_modes(kind: ServerKind) {
    let outcome = Builder::new(kind).app("echo:app").args(["--socket-mode", "660"]).run();
    assert_eq!(outcome.status, Some(1));
    let message = "is not a combination of permission bits";
    assert!(outcome.stderr.contains(message), "{}", outcome.stderr);
}

fn abstract_names(kind: ServerKind) {
    let name = format!("rgunicorn-it-sockets-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    let bind = format!("unix:@{name}");
    let mut server = Builder::new(kind).app("echo:app").binding(&bind).start();
    assert!(server.log.text().contains(&format!("Listening at: {bind} (")));
    let connect = || UnixStream::connect_addr(&address);
    connect().expect("the name is served");
    assert_eq!(fs::read_dir(server.dir()).expect("readable").count(), 0, "no file was made");
    // A reload keeps the socket, and the end frees the name.
    server.signal(Signal::SIGHUP);
    server.log.wait_for_count("Booting worker", 2);
    connect().expect("the name is still served");
    assert_eq!(server.stop(Signal::SIGTERM), 0);
    assert!(connect().is_err());
    let _server = Builder::new(kind).app("echo:app").binding(&bind).start();
    let stream = connect().expect("the name is free for the next server");
    assert_eq!(Client::of_unix(stream).get("/").status, 200);
}
