use std::fs;
use std::io::Write;
use std::net::{
    Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream,
};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::fstat;
use nix::unistd::{Uid, geteuid, setuid};
use proptest::prelude::*;

use super::*;
use crate::http::PROXY_PROTOCOLS;
use crate::sys::socket::{Io, Waited, Wanted, recv, send, set_blocking, wait};
use crate::sys::testing::{alone, in_child};

const PATIENCE: Duration = Duration::from_secs(10);

/// A kept-alive connection.
fn idle(stream: &impl AsFd) -> Parcel<'_> {
    Parcel {
        stream: stream.as_fd(),
        peer: Peer::Unix,
        listener: "127.0.0.1:8000",
        proxy: None,
        proxy_due: false,
        served: true,
        head: b"",
        body: Payload::Empty,
        rest: b"",
        ready_since: 0,
    }
}

/// The same as [`idle`] with a number.
fn numbered(stream: &impl AsFd, number: u64) -> Parcel<'_> {
    Parcel { ready_since: number, ..idle(stream) }
}

/// Sends numbered parcels until one is refused; returns how many were not, and why that one was.
fn fill<'a>(queue: &Queue, stream: &'a impl AsFd, head: &'a [u8]) -> (u64, Sent) {
    for number in 0.. {
        let sent = queue.send(&Parcel { head, ..numbered(stream, number) }).unwrap();
        if sent != Sent::Done {
            return (number, sent);
        }
    }
    unreachable!("a queue without bounds")
}

fn assert_closed(end: &UnixStream) {
    assert_eq!(wait(end, Wanted::Input, PATIENCE), Waited::Ready);
    assert!(matches!(recv(end, &mut [0]), Io::Done(0)));
}

#[test]
fn a_connection_goes_on_where_it_was() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, address) = listener.accept().unwrap();
    set_blocking(&stream, false).unwrap();
    client.write_all(b"before ").unwrap();
    let queue = Queue::new().unwrap();
    assert!(queue.receive().unwrap().is_none());
    let parcel = Parcel { peer: Peer::Inet(address), ..idle(&stream) };
    assert_eq!(queue.send(&parcel).unwrap(), Sent::Done);
    drop(stream);
    client.write_all(b"after").unwrap();
    assert_eq!(wait(queue.incoming(), Wanted::Input, PATIENCE), Waited::Ready);
    let arrival = queue.receive().unwrap().unwrap();
    assert_eq!(arrival.peer, Peer::Inet(address));
    let mut text = Vec::new();
    while text.len() < 12 {
        assert_eq!(wait(&arrival.stream, Wanted::Input, PATIENCE), Waited::Ready);
        let mut buffer = [0; 16];
        let Io::Done(count @ 1..) = recv(&arrival.stream, &mut buffer) else { panic!("no bytes") };
        text.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(text, b"before after");
    // It is still non-blocking.
    assert!(matches!(recv(&arrival.stream, &mut [0]), Io::WouldBlock));
    assert!(matches!(send(&arrival.stream, b"answer"), Io::Done(6)));
    drop(arrival);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

#[test]
fn a_connection_survives_its_sender() {
    let queue = Queue::new().unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    in_child(|| match queue.send(&Parcel { head: b"GET", ..idle(&near) }) {
        Ok(Sent::Done) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    drop(near);
    let arrival = queue.receive().unwrap().unwrap();
    assert_eq!(arrival.head, b"GET");
    assert!(matches!(send(&arrival.stream, b"x"), Io::Done(1)));
    let mut byte = [0];
    far.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn a_full_queue_keeps_its_order_and_has_room_again() {
    let queue = Queue::with_room(64 << 10).unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    let (count, sent) = fill(&queue, &near, &[b'x'; 300]);
    assert!(count > 40 && sent == Sent::Full, "{sent:?} after {count}");
    let large = vec![b'x'; 100_000];
    assert_eq!(queue.send(&Parcel { head: &large, ..idle(&near) }).unwrap(), Sent::Full);
    // There is room for one more as soon as one is gone.
    assert_eq!(queue.receive().unwrap().unwrap().ready_since, 0);
    assert_eq!(queue.send(&numbered(&near, count)).unwrap(), Sent::Done);
    for number in 1..=count {
        assert_eq!(queue.receive().unwrap().unwrap().ready_since, number);
    }
    assert!(queue.receive().unwrap().is_none());
    assert_eq!(queue.send(&Parcel { head: &large, ..idle(&near) }).unwrap(), Sent::Done);
    assert_eq!(queue.receive().unwrap().unwrap().head, large);
}

#[test]
fn a_queue_without_much_room_takes_large_parcels_too() {
    let queue = Queue::with_room(1).unwrap();
    assert!(queue.inline < 1024, "{}", queue.inline);
    let (near, _far) = UnixStream::pair().unwrap();
    for len in [0, 100, 1_000, 16_000, 1_000_000] {
        let head = vec![b'h'; len];
        assert_eq!(queue.send(&Parcel { head: &head, ..idle(&near) }).unwrap(), Sent::Done);
        assert_eq!(queue.receive().unwrap().unwrap().head, head);
    }
}

#[test]
fn no_two_receivers_get_the_same_connection() {
    const COUNT: u64 = 2000;
    let queue = Queue::with_room(64 << 10).unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    let over = AtomicBool::new(false);
    let receiver = || {
        let mut numbers = Vec::new();
        loop {
            let last = over.load(Ordering::Acquire);
            wait(queue.incoming(), Wanted::Input, Duration::from_millis(10));
            match queue.receive().unwrap() {
                Some(arrival) => numbers.push(arrival.ready_since),
                None if last => return numbers,
                None => {}
            }
        }
    };
    let (one, other) = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(receiver), scope.spawn(receiver));
        for number in 0..COUNT {
            while queue.send(&numbered(&near, number)).unwrap() == Sent::Full {
                std::thread::yield_now();
            }
        }
        over.store(true, Ordering::Release);
        (one.join().unwrap(), other.join().unwrap())
    });
    assert!(one.is_sorted() && other.is_sorted());
    let mut all = [one, other].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..COUNT));
}

/// Descriptors of this process.
fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn descriptors_are_closed_and_their_lack_loses_nothing() {
    const NAME: &str = "net::handoff::tests::descriptors_are_closed_and_their_lack_loses_nothing";
    alone(NAME, || {
        let queue = Queue::new().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let (file, large) = (tempfile::tempfile().unwrap(), vec![b'x'; 50_000]);
        file.set_len(9).unwrap();
        let before = open_descriptors();
        // As many descriptors as there can be.
        let parcel = Parcel { head: &large, body: Payload::File(file.as_fd(), 9), ..idle(&near) };
        let too_long = Parcel { body: Payload::File(file.as_fd(), 10), ..parcel };
        for _ in 0..100 {
            assert_eq!(queue.send(&parcel).unwrap(), Sent::Done);
            assert_eq!(queue.send(&too_long).unwrap(), Sent::Done);
            let arrival = queue.receive().unwrap().unwrap();
            assert_eq!(open_descriptors(), before + 2);
            assert!(matches!(arrival.body, Contents::File(_, 9)));
            drop(arrival);
            assert_eq!(queue.receive().unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(open_descriptors(), before);
        }
        assert_eq!(queue.send(&parcel).unwrap(), Sent::Done);
        drop(near);

        setrlimit(Resource::RLIMIT_NOFILE, 100, getrlimit(Resource::RLIMIT_NOFILE).unwrap().1)
            .unwrap();
        let mut ballast = Vec::new();
        while let Ok(descriptor) = queue.receiving.try_clone() {
            ballast.push(descriptor);
        }
        assert_eq!(queue.send(&Parcel { head: &large, ..idle(&far) }).unwrap(), Sent::Full);
        for _ in 0..MAX_DESCRIPTORS {
            let error = queue.receive().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            ballast.pop();
        }
        let arrival = queue.receive().unwrap().unwrap();
        assert_eq!(arrival.head, large);
        drop(arrival);
        assert_closed(&far);

        // The rest of a message that did not get all of its descriptors.
        let (near, far) = UnixStream::pair().unwrap();
        ballast.truncate(ballast.len() - 3);
        scm::send(&queue.sending, &[IoSlice::new(b"x")], &[near.as_fd(); 3]).unwrap();
        drop(near);
        while let Ok(descriptor) = queue.receiving.try_clone() {
            ballast.push(descriptor);
        }
        ballast.pop();
        let mut buffer = [MaybeUninit::uninit(); 16];
        assert!(scm::receive(&queue.receiving, &mut buffer).is_err());
        assert_closed(&far);
    });
}

#[test]
fn the_limit_of_descriptors_in_flight_is_told_from_a_full_queue() {
    const NAME: &str =
        "net::handoff::tests::the_limit_of_descriptors_in_flight_is_told_from_a_full_queue";
    alone(NAME, || {
        let queue = Queue::new().unwrap();
        let (near, _far) = UnixStream::pair().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 40, 40).unwrap();
        if geteuid().is_root() {
            // Root may exceed the limit, which counts for all processes of a user.
            setuid(Uid::from_raw(u32::from(u16::MAX) - 1)).unwrap();
        }
        let (count, sent) = fill(&queue, &near, b"");
        assert!(count <= 41 && sent == Sent::Full, "{sent:?} after {count}");
        assert!(queue.receive().unwrap().is_some());
        assert!(queue.receive().unwrap().is_some());
        assert_eq!(queue.send(&idle(&near)).unwrap(), Sent::Done);
    });
}

#[test]
fn a_message_of_another_version_is_refused_and_the_next_is_not() {
    let queue = Queue::new().unwrap();
    let ((near, far), (other, _)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let mut header = wire::encode(&idle(&near), false).unwrap();
    header[0] += 1;
    scm::send(&queue.sending, &[IoSlice::new(&header)], &[near.as_fd()]).unwrap();
    drop(near);
    assert_eq!(queue.send(&numbered(&other, 7)).unwrap(), Sent::Done);
    let error = queue.receive().unwrap_err();
    assert!(error.to_string().contains("version"), "{error}");
    assert_closed(&far);
    assert_eq!(queue.receive().unwrap().unwrap().ready_since, 7);
}

#[test]
fn a_protocol_that_nobody_knows_is_not_sent() {
    let queue = Queue::new().unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    let proxy = ProxyInfo { protocol: "UDP4", source: None, destination: None };
    assert!(queue.send(&Parcel { proxy: Some(&proxy), ..idle(&near) }).is_err());
    assert!(queue.receive().unwrap().is_none());
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<(Ipv4Addr, u16)>().prop_map(|(ip, port)| SocketAddrV4::new(ip, port).into());
    let v6 = any::<(Ipv6Addr, u16, u32, u32)>()
        .prop_map(|(ip, port, flow, scope)| SocketAddrV6::new(ip, port, flow, scope).into());
    prop_oneof![v4, v6]
}

fn proxy() -> impl Strategy<Value = ProxyInfo> {
    let protocol = prop::sample::select(&PROXY_PROTOCOLS[..]);
    (protocol, prop::option::of(address()), prop::option::of(address()))
        .prop_map(|(protocol, source, destination)| ProxyInfo { protocol, source, destination })
}

/// Some bytes, and seldom many.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let many = (any::<u8>(), 10_000..300_000_usize).prop_map(|(byte, len)| vec![byte; len]);
    prop_oneof![6 => prop::collection::vec(any::<u8>(), 0..500), 1 => many]
}

/// None, in memory, or in a file.
fn body() -> impl Strategy<Value = Option<(bool, Vec<u8>)>> {
    prop::option::of((any::<bool>(), bytes()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_arrives_is_what_was_sent(
        peer in prop::option::of(address()),
        listener in any::<String>(),
        proxy in prop::option::of(proxy()),
        (proxy_due, served, ready_since) in any::<(bool, bool, u64)>(),
        head in bytes(),
        body in body(),
        rest in bytes(),
    ) {
        let queue = Queue::new().unwrap();
        let (near, _far) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let payload = match &body {
            None => Payload::Empty,
            Some((false, bytes)) => Payload::Memory(bytes),
            Some((true, bytes)) => {
                // Leaves the position at the end.
                file.write_all(bytes).unwrap();
                Payload::File(file.as_fd(), bytes.len() as u64)
            }
        };
        let parcel = Parcel {
            stream: near.as_fd(),
            peer: peer.map_or(Peer::Unix, Peer::Inet),
            listener: &listener,
            proxy: proxy.as_ref(),
            proxy_due,
            served,
            head: &head,
            body: payload,
            rest: &rest,
            ready_since,
        };
        prop_assert_eq!(queue.send(&parcel).unwrap(), Sent::Done);
        let arrival = queue.receive().unwrap().unwrap();
        prop_assert_eq!(fstat(&arrival.stream).unwrap().st_ino, fstat(&near).unwrap().st_ino);
        prop_assert_ne!(arrival.stream.as_raw_fd(), near.as_raw_fd());
        prop_assert_eq!(arrival.peer, parcel.peer);
        prop_assert_eq!(&arrival.listener, &listener);
        prop_assert_eq!(arrival.proxy, proxy);
        prop_assert_eq!((arrival.proxy_due, arrival.served), (proxy_due, served));
        prop_assert_eq!(arrival.ready_since, ready_since);
        prop_assert!(arrival.head == head && arrival.rest == rest);
        match (arrival.body, body) {
            (Contents::Empty, None) => {}
            (Contents::Memory(got), Some((false, bytes))) => prop_assert!(got == bytes),
            (Contents::File(mut file, len), Some((true, bytes))) => {
                let mut got = Vec::new();
                file.read_to_end(&mut got).unwrap();
                prop_assert_eq!(len, bytes.len() as u64);
                prop_assert!(got == bytes);
            }
            (got, wanted) => prop_assert!(false, "{:?} for {:?}", got, wanted),
        }
        prop_assert!(queue.receive().unwrap().is_none());
    }

    #[test]
    fn any_message_is_understood_or_refused(
        noise in prop::collection::vec(any::<u8>(), 0..400),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        pure in prop::bool::weighted(0.2),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        descriptors in 0..=MAX_DESCRIPTORS,
    ) {
        let (near, far) = UnixStream::pair().unwrap();
        let mut message = if pure {
            noise
        } else {
            // A message that is right but for a few bytes.
            let parcel = Parcel { head: &noise, ..idle(&near) };
            [&wire::encode(&parcel, false).unwrap()[..], &parcel.sections().concat()].concat()
        };
        for (index, byte) in changes {
            if !message.is_empty() {
                let index = index.index(message.len());
                message[index] = byte;
            }
        }
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len() + 1));
        }
        let mut received = Descriptors::default();
        for place in &mut received[..descriptors] {
            *place = Some(near.try_clone().unwrap().into());
        }
        drop(near);
        match unpack(&message, received) {
            Ok(arrival) => prop_assert!(arrival.head.len() <= message.len()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        assert_closed(&far);
    }
}
