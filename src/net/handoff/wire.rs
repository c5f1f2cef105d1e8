//! The fixed part of a message: everything about a connection that has a fixed size.
//!
//! Sender and receiver are on one machine and nearly always of one binary, so numbers are in its byte
//! order. A new binary that changes anything here raises the version.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use zerocopy::native_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Parcel, Payload, malformed};
use crate::http::{PROXY_PROTOCOLS, ProxyInfo};
use crate::sys::socket::Peer;

const VERSION: u8 = 1;

/// Listener, head, body, rest.
pub const SECTIONS: usize = 4;

/// Bytes of the fixed part.
pub const HEADER: usize = size_of::<Raw>();

const PROXY_DUE: u8 = 1;
const SERVED: u8 = 2;
const SPILLED: u8 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Empty = 0,
    Memory = 1,
    File = 2,
}

/// The fixed part, understood.
#[derive(Debug, PartialEq)]
pub struct Header {
    pub peer: Peer,
    pub proxy: Option<ProxyInfo>,
    pub proxy_due: bool,
    pub served: bool,
    /// The parts of variable length are in a file.
    pub spilled: bool,
    pub body: Body,
    /// Bytes of a body that is in a file.
    pub file_len: u64,
    pub lengths: [u64; SECTIONS],
    pub ready_since: u64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    version: u8,
    flags: u8,
    body: u8,
    /// 0 if there was no PROXY header, else one more than the index in `PROXY_PROTOCOLS`.
    protocol: u8,
    peer: Address,
    source: Address,
    destination: Address,
    ready_since: U64,
    file_len: U64,
    lengths: [U64; SECTIONS],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Address {
    /// 4, 6, or 0 for none.
    family: u8,
    ip: [u8; 16],
    port: U16,
    flow: U32,
    scope: U32,
}

impl From<Option<SocketAddr>> for Address {
    fn from(address: Option<SocketAddr>) -> Self {
        let mut raw =
            Self { family: 0, ip: [0; 16], port: 0.into(), flow: 0.into(), scope: 0.into() };
        match address {
            None => {}
            Some(SocketAddr::V4(address)) => {
                raw.family = 4;
                raw.ip[..4].copy_from_slice(&address.ip().octets());
                raw.port = address.port().into();
            }
            Some(SocketAddr::V6(address)) => {
                raw.family = 6;
                raw.ip = address.ip().octets();
                raw.port = address.port().into();
                raw.flow = address.flowinfo().into();
                raw.scope = address.scope_id().into();
            }
        }
        raw
    }
}

impl Address {
    fn read(&self) -> io::Result<Option<SocketAddr>> {
        let port = self.port.get();
        match self.family {
            0 => Ok(None),
            4 => {
                let [a, b, c, d, ..] = self.ip;
                Ok(Some(SocketAddr::new(IpAddr::from([a, b, c, d]), port)))
            }
            6 => {
                let (flow, scope) = (self.flow.get(), self.scope.get());
                Ok(Some(SocketAddrV6::new(self.ip.into(), port, flow, scope).into()))
            }
            _ => Err(malformed("an address of an unknown family")),
        }
    }
}

/// # Errors
/// The name of the PROXY protocol is not one of those known.
pub fn encode(parcel: &Parcel<'_>, spilled: bool) -> io::Result<[u8; HEADER]> {
    let (body, file_len) = match parcel.body {
        Payload::Empty => (Body::Empty, 0),
        Payload::Memory(_) => (Body::Memory, 0),
        Payload::File(_, len) => (Body::File, len),
    };
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let peer = match parcel.peer {
        Peer::Inet(address) => Some(address),
        Peer::Unix => None,
    };
    let raw = Raw {
        version: VERSION,
        flags: flag(parcel.proxy_due, PROXY_DUE)
            | flag(parcel.served, SERVED)
            | flag(spilled, SPILLED),
        body: body as u8,
        protocol: parcel.proxy.map_or(Ok(0), |proxy| protocol_number(proxy.protocol))?,
        peer: peer.into(),
        source: parcel.proxy.and_then(|proxy| proxy.source).into(),
        destination: parcel.proxy.and_then(|proxy| proxy.destination).into(),
        ready_since: parcel.ready_since.into(),
        file_len: file_len.into(),
        lengths: parcel.sections().map(|section| (section.len() as u64).into()),
    };
    Ok(zerocopy::transmute!(raw))
}

fn protocol_number(name: &str) -> io::Result<u8> {
    (1..)
        .zip(PROXY_PROTOCOLS)
        .find_map(|(number, known)| (known == name).then_some(number))
        .ok_or_else(|| io::Error::other(format!("unknown PROXY protocol {name}")))
}

/// Reads the fixed part at the start of `bytes`; returns what follows it, too.
pub fn decode(bytes: &[u8]) -> io::Result<(Header, &[u8])> {
    if bytes.first().is_some_and(|&version| version != VERSION) {
        return Err(malformed("another version"));
    }
    let Ok((raw, rest)) = Raw::ref_from_prefix(bytes) else {
        return Err(malformed("too short"));
    };
    if raw.flags & !(PROXY_DUE | SERVED | SPILLED) != 0 {
        return Err(malformed("unknown flags"));
    }
    let proxy = match raw.protocol {
        0 => None,
        number => Some(ProxyInfo {
            protocol: PROXY_PROTOCOLS
                .get(usize::from(number) - 1)
                .ok_or_else(|| malformed("an unknown PROXY protocol"))?,
            source: raw.source.read()?,
            destination: raw.destination.read()?,
        }),
    };
    let header = Header {
        peer: raw.peer.read()?.map_or(Peer::Unix, Peer::Inet),
        proxy,
        proxy_due: raw.flags & PROXY_DUE != 0,
        served: raw.flags & SERVED != 0,
        spilled: raw.flags & SPILLED != 0,
        body: match raw.body {
            0 => Body::Empty,
            1 => Body::Memory,
            2 => Body::File,
            _ => return Err(malformed("a body of an unknown kind")),
        },
        file_len: raw.file_len.get(),
        lengths: raw.lengths.map(U64::get),
        ready_since: raw.ready_since.get(),
    };
    Ok((header, rest))
}
