//! The settings of the event loop, from those of the user.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, HeaderMap as Mapping, ProxyMode as Proxy};
use crate::error::Error;
use crate::http::{
    HeadParser, HeaderMap, Lenient, Limits, Policy, ProxyMode, ProxyProtocol, TrustList,
};
use crate::reactor::{Options, Patience, Storage};

/// # Errors
/// An entry of `forwarded_allow_ips` or `proxy_allow_ips` that is no address.
pub fn options(config: &Config) -> Result<Options, Error> {
    let limits = Limits::new(
        count(config.limit_request_line),
        count(config.limit_request_fields),
        count(config.limit_request_field_size),
    );
    let header_map = match config.header_map {
        Mapping::Drop => HeaderMap::Drop,
        Mapping::Refuse => HeaderMap::Refuse,
        Mapping::Dangerous => HeaderMap::Dangerous,
    };
    let policy = Policy::new(header_map, &config.forwarder_headers, &config.secure_scheme_headers);
    let lenient = Lenient {
        obsolete_folding: config.permit_obsolete_folding,
        header_spaces: config.strip_header_spaces,
        unconventional_method: config.permit_unconventional_http_method,
        unconventional_version: config.permit_unconventional_http_version,
        casefold_method: config.casefold_http_method,
    };
    let proxy = match config.proxy_protocol {
        Proxy::Off => ProxyMode::Off,
        Proxy::V1 => ProxyMode::V1,
        Proxy::V2 => ProxyMode::V2,
        Proxy::Auto => ProxyMode::Auto,
    };
    let patience = Patience {
        write: Duration::from_secs(config.write_timeout),
        body: Duration::from_secs(config.body_timeout),
    };
    Ok(Options {
        parser: HeadParser::new(limits, policy).lenient(lenient),
        trusted: networks(&config.forwarded_allow_ips)?,
        proxy: ProxyProtocol::new(proxy, networks(&config.proxy_allow_ips)?),
        buffering: config.request_buffering,
        storage: Storage {
            memory: size(config.request_buffer_size),
            directory: spill_directory(config),
        },
        body_limit: config.limit_request_body,
        high_water: size(config.response_buffer_size),
        head_patience: Duration::from_secs(config.header_timeout),
        patience,
        keep_alive: Duration::from_secs(config.keepalive),
        connections: count(config.worker_connections).max(1),
        shared: config.workers > 1,
        queue_patience: config.max_queue_time,
    })
}

fn spill_directory(config: &Config) -> PathBuf {
    config.spill_directory().map_or_else(std::env::temp_dir, PathBuf::from)
}

fn networks(list: &[String]) -> Result<TrustList, Error> {
    TrustList::parse(list).map_err(|error| Error::config(error.to_string()))
}

fn count(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
