use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::socket::{getsockopt, sockopt};

use super::{Family, Listener, Opening, Owner, bind_all_with};
use crate::error::{Error, Exit};
use crate::log::testing::logged;
use crate::net::address::Address;
use crate::sys::account::{effective_gid, effective_uid};
use crate::sys::fd::redirect;
use crate::sys::testing::alone;

const OPENING: Opening = Opening::with_backlog(16);

fn parse(text: &str) -> Address {
    Address::parse(text).expect(text)
}

/// One attempt after the other without a pause; the number of pauses is returned.
fn open(texts: &[&str]) -> (Result<Vec<Listener>, Error>, u32) {
    let addresses: Vec<Address> = texts.iter().map(|text| parse(text)).collect();
    let mut pauses = 0;
    let result = bind_all_with(&addresses, OPENING, &mut || pauses += 1);
    (result, pauses)
}

fn refused(text: &str) -> (String, u32) {
    let (result, pauses) = open(&[text]);
    let error = result.expect_err(text);
    assert_eq!(error.status(), Exit::Config as i32);
    (error.to_string(), pauses)
}

/// A descriptor as it arrives through `exec`.
fn pass(socket: impl AsFd + IntoRawFd) -> RawFd {
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).expect("clear close-on-exec");
    socket.into_raw_fd()
}

#[test]
fn tcp_sockets_listen_and_know_their_names() {
    let (listeners, pauses) = open(&["127.0.0.1:0", "[::1]:0", ":0", "localhost:0"]);
    let listeners = listeners.expect("bind");
    assert_eq!(pauses, 0);
    let names: Vec<&str> = listeners.iter().map(|one| one.server_name.as_str()).collect();
    assert_eq!(names, ["127.0.0.1", "::1", "0.0.0.0", "127.0.0.1"]);
    assert_eq!(listeners[0].to_string(), format!("http://127.0.0.1:{}", listeners[0].server_port));
    assert_eq!(listeners[1].to_string(), format!("http://[::1]:{}", listeners[1].server_port));
    assert_eq!(listeners[0].family, Family::Inet);
    assert_eq!(listeners[1].family, Family::Inet6);
    for listener in &listeners {
        assert!(!listener.is_unix());
        assert!(listener.server_port.parse::<u16>().expect("port") > 0);
        let flags = OFlag::from_bits_retain(fcntl(listener, FcntlArg::F_GETFL).expect("flags"));
        assert!(flags.contains(OFlag::O_NONBLOCK));
        assert_eq!(fcntl(listener, FcntlArg::F_GETFD), Ok(libc::FD_CLOEXEC));
        assert_eq!(getsockopt(listener, sockopt::ReuseAddr), Ok(true));
        assert_eq!(getsockopt(listener, sockopt::TcpNoDelay), Ok(true));
    }
    for host in ["127.0.0.1", "[::1]"].iter().zip(&listeners) {
        TcpStream::connect(format!("{}:{}", host.0, host.1.server_port)).expect("connect");
    }
}

#[test]
fn a_port_in_use_is_tried_five_times() {
    let other = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = other.local_addr().expect("address").port();
    let mut outcome = (String::new(), 0);
    let lines = logged(|| outcome = refused(&format!("127.0.0.1:{port}")));
    assert_eq!(outcome.1, 4);
    assert!(outcome.0.contains("the port is in use"), "{}", outcome.0);
    let address = format!("('127.0.0.1', {port})");
    let attempt = [
        format!("ERROR Connection in use: {address}"),
        format!("ERROR connection to {address} failed: [Errno 98] Address already in use"),
        "DEBUG Retrying in 1 second.".to_owned(),
    ];
    let mut expected: Vec<String> = attempt.iter().cloned().cycle().take(14).collect();
    expected.push(format!("ERROR Can't connect to {address}"));
    assert_eq!(lines, expected);
}

#[test]
fn a_port_that_becomes_free_is_taken() {
    let other = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = parse(&other.local_addr().expect("address").to_string());
    let mut other = Some(other);
    let listeners = bind_all_with(&[address], OPENING, &mut || drop(other.take())).expect("bind");
    assert_eq!(listeners.len(), 1);
}

#[test]
fn a_foreign_address_is_invalid() {
    let mut outcome = (String::new(), 0);
    // TEST-NET-1 of RFC 5737: no machine has it.
    let lines = logged(|| outcome = refused("192.0.2.1:80"));
    assert_eq!(outcome.1, 4);
    assert!(outcome.0.contains("no such address"), "{}", outcome.0);
    assert_eq!(lines[0], "ERROR Invalid address: ('192.0.2.1', 80)");
}

#[test]
fn a_name_that_cannot_be_resolved_is_named() {
    let mut outcome = (String::new(), 0);
    // Longer than a DNS label may be, so that no name server is asked.
    let name = "x".repeat(70);
    let lines = logged(|| outcome = refused(&format!("{name}:80")));
    assert_eq!(outcome.1, 4);
    assert!(outcome.0.contains(&format!("the name '{name}' cannot be resolved")), "{}", outcome.0);
    assert!(lines[0].starts_with(&format!("ERROR connection to ('{name}', 80) failed: ")));
}

#[test]
fn a_unix_socket_replaces_a_stale_one_and_is_removed() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("app.sock");
    drop(UnixListener::bind(&path).expect("stale socket"));

    let text = format!("unix:{}", path.display());
    let listener = open(&[&text]).0.expect("bind").remove(0);
    assert_eq!(listener.to_string(), text);
    assert!(listener.is_unix());
    assert_eq!((listener.server_name.as_str(), listener.server_port.as_str()), (&text[5..], ""));
    let mode = fs::metadata(&path).expect("stat").permissions().mode();
    assert_eq!(mode & 0o777, 0o777);
    UnixStream::connect(&path).expect("connect");

    listener.unlink();
    assert!(!path.exists());
    listener.unlink();
}

#[test]
fn mode_and_owner_of_a_socket_file_are_as_asked_for() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("app.sock");
    let address = parse(&format!("unix:{}", path.display()));
    let bind = |mode, owner| {
        let opening = Opening { mode, owner, ..OPENING };
        bind_all_with(std::slice::from_ref(&address), opening, &mut || ())
    };
    let (uid, gid) = (effective_uid(), effective_gid());
    for mode in [0o777, 0o660, 0o602, 0] {
        let _listener = bind(mode, Some(Owner { uid, gid })).expect("bind");
        let found = fs::metadata(&path).expect("stat");
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (mode, uid, gid));
    }
    let stranger = Owner { uid: 65534, gid: 65533 };
    match bind(0o660, Some(stranger)) {
        Ok(_) => {
            let found = fs::metadata(&path).expect("stat");
            assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o660, 65534, 65533));
        }
        // Not root.
        Err(error) => {
            assert!(error.to_string().contains("to user 65534 and group 65533"), "{error}");
            assert!(!path.exists());
        }
    }
}

#[test]
fn abstract_sockets_have_no_file() {
    let name = format!("rgunicorn-test-listener-{}", std::process::id());
    let text = format!("unix:@{name}");
    let listener = open(&[&text]).0.expect("bind").remove(0);
    assert_eq!((listener.to_string(), listener.is_unix()), (text.clone(), true));
    assert_eq!(listener.server_name, format!("@{name}"));
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    UnixStream::connect_addr(&address).expect("connect");
    let (error, pauses) = refused(&text);
    assert!(error.contains("the name is in use") && pauses == 4, "{error}");
    listener.unlink();
    drop(listener);
    open(&[&text]).0.expect("the name is free again");
    let (error, _) = refused(&format!("unix:@{}", "x".repeat(120)));
    assert!(error.contains("too long"), "{error}");
}

#[test]
fn a_socket_file_of_somebody_else_stays() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("app.sock");
    let text = format!("unix:{}", path.display());
    let first = open(&[&text]).0.expect("bind").remove(0);
    // A new server has taken the path over, as in a rolling restart.
    let second = open(&[&text]).0.expect("bind again").remove(0);
    first.unlink();
    assert!(path.exists());
    second.unlink();
    assert!(!path.exists());
}

#[test]
fn bad_unix_paths_are_explained_at_once() {
    let directory = tempfile::tempdir().expect("tempdir");
    let place = directory.path().display();
    let file = directory.path().join("file");
    fs::write(&file, "precious").expect("write");
    for (path, expected) in [
        (file.display().to_string(), format!("'{}' is not a socket", file.display())),
        (format!("{place}/none/app.sock"), format!("'{place}/none' does not exist")),
        (format!("{place}/file/app.sock"), format!("'{place}/file' does not exist")),
        (format!("{place}/{}", "x".repeat(120)), "too long".to_owned()),
    ] {
        let (error, pauses) = refused(&format!("unix:{path}"));
        assert!(error.contains(&expected), "{error}");
        assert_eq!(pauses, 0, "{path}");
    }
    assert_eq!(fs::read_to_string(&file).expect("read"), "precious");
}

#[test]
fn passed_descriptors_displace_textual_addresses() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = tcp.local_addr().expect("address");
    let fd = format!("fd://{}", pass(tcp));
    let listeners = open(&["127.0.0.1:1", &fd, &fd]).0.expect("take over");
    assert_eq!(listeners.len(), 1);
    assert_eq!(listeners[0].to_string(), format!("http://{address}"));
    assert_eq!(fcntl(&listeners[0], FcntlArg::F_GETFD), Ok(libc::FD_CLOEXEC));

    let mut client = TcpStream::connect(address).expect("connect");
    client.write_all(b"x").expect("write");
    let (listener, mut byte) =
        (TcpListener::from(listeners[0].as_fd().try_clone_to_owned().expect("dup")), [0]);
    let (mut accepted, _) = listener.accept().expect("the connection is in the queue");
    accepted.set_nonblocking(false).expect("blocking");
    accepted.read_exact(&mut byte).expect("read");
    assert_eq!(byte, *b"x");
}

#[test]
fn a_passed_unix_socket_is_never_removed() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("app.sock");
    let fd = pass(UnixListener::bind(&path).expect("bind"));
    let listener = open(&[&format!("fd://{fd}")]).0.expect("take over").remove(0);
    assert_eq!(listener.to_string(), format!("unix:{}", path.display()));
    assert_eq!(listener.as_fd().as_raw_fd(), fd);
    listener.unlink();
    assert!(path.exists());
}

#[test]
fn wrong_descriptors_are_explained() {
    let file = fs::File::open("/dev/null").expect("open");
    let own = TcpListener::bind("127.0.0.1:0").expect("bind");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
    for (fd, expected) in [
        (1_000_000, "not open"),
        (own.as_raw_fd(), "not passed in"),
        (pass(file), "not a stream socket"),
        (pass(udp), "not a stream socket"),
    ] {
        let (error, pauses) = refused(&format!("fd://{fd}"));
        assert!(error.contains(expected), "{error}");
        assert_eq!(pauses, 0);
    }
}

/// As from a program that runs servers with their socket as standard input.
#[test]
fn a_standard_stream_is_left_once_it_is_taken() {
    alone("net::listener::tests::a_standard_stream_is_left_once_it_is_taken", || {
        let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = socket.local_addr().expect("address");
        redirect(std::io::stdin().as_fd(), socket.as_fd()).expect("redirect");
        drop(socket);
        let listeners = open(&["fd://0"]).0.expect("a socket");
        assert!(listeners[0].as_fd().as_raw_fd() > 2);
        TcpStream::connect(address).expect("it listens");
        drop(listeners);
        TcpStream::connect(address).expect_err("nobody listens");
        assert_eq!(std::io::stdin().read(&mut [0]).expect("it is open"), 0);
    });
}

#[test]
fn a_failure_leaves_no_socket_file() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("app.sock");
    let text = format!("unix:{}", path.display());
    let (result, _) = open(&[&text, "unix:/nowhere/at/all"]);
    assert!(result.is_err());
    assert!(!path.exists());
}
