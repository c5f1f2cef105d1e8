//! What a configuration wants of the logs: files and sockets, opened.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::config::{Config, ErrorLogFormat};
use crate::error::Error;
use crate::log::access::{AccessLog, Form};
use crate::log::error::{Severity, Ways};
use crate::log::output::{Output, Target, unwritable};
use crate::log::statsd::Statsd;
use crate::log::syslog::Syslog;

/// What one configuration asks for, opened.
pub struct Opened {
    pub target: Target,
    pub fd: OwnedFd,
    /// `None` if nothing shall be shown.
    pub least: Option<Severity>,
    pub ways: Ways,
    pub access: Option<Arc<AccessLog>>,
    /// Whether the standard streams shall go to the error log.
    pub capture: bool,
}

impl Opened {
    /// `stdout` and `stderr` are the standard streams as they were at the start. If there is to be a
    /// `foreign` logger, ours are not needed.
    ///
    /// # Errors
    /// A file cannot be written to, the access log format cannot be read, syslog cannot be reached.
    pub fn new(
        config: &Config,
        foreign: bool,
        stdout: &OwnedFd,
        stderr: &OwnedFd,
    ) -> Result<Self, Error> {
        if foreign {
            return Self::aside(config, stdout, stderr);
        }
        let target = Target::parse(config.errorlog.as_deref(), Target::Stderr);
        let fd = target
            .open(stdout.as_fd(), stderr.as_fd())
            .map_err(|error| unwritable(config.errorlog.as_deref().unwrap_or_default(), &error))?;
        target.give_to(&fd, config.user, config.group);
        let ways = Ways {
            format: config.error_log_format,
            syslog: open_syslog(config, "error")?,
            statsd: open_statsd(config),
        };
        let shown = target != Target::Nothing || ways.syslog.is_some();
        let least = shown.then(|| Severity::parse(&config.loglevel));
        let capture = config.capture_output && matches!(target, Target::File(_));
        let output = match config.accesslog.as_deref() {
            None => None,
            Some(setting) => {
                let target = Target::parse(Some(setting), Target::Stdout);
                let stdout = if capture { &fd } else { stdout };
                let fd = target
                    .open(stdout.as_fd(), stderr.as_fd())
                    .map_err(|error| unwritable(setting, &error))?;
                target.give_to(&fd, config.user, config.group);
                Some(Output::new(target, fd))
            }
        };
        let access = open_access(config, output, ways.statsd.clone())?;
        Ok(Self { target, fd, least, ways, access, capture })
    }

    /// For a process whose log is a foreign logger: standard error is for what that cannot take, and the
    /// metrics of the master go out as ever.
    fn aside(config: &Config, stdout: &OwnedFd, stderr: &OwnedFd) -> Result<Self, Error> {
        let fd = Target::Stderr
            .open(stdout.as_fd(), stderr.as_fd())
            .map_err(|error| unwritable("-", &error))?;
        let (format, statsd) = (ErrorLogFormat::Text, open_statsd(config));
        Ok(Self {
            target: Target::Stderr,
            fd,
            least: Some(Severity::Debug),
            ways: Ways { format, syslog: None, statsd },
            access: None,
            capture: false,
        })
    }
}

/// What becomes of requests, if anybody wants to know.
fn open_access(
    config: &Config,
    output: Option<Output>,
    statsd: Option<Arc<Statsd>>,
) -> Result<Option<Arc<AccessLog>>, Error> {
    let syslog = if config.disable_redirect_access_to_syslog {
        None
    } else {
        open_syslog(config, "access")?
    };
    if output.is_none() && syslog.is_none() && statsd.is_none() {
        return Ok(None);
    }
    let form = Form::parse(&config.access_log_format)?;
    Ok(Some(Arc::new(AccessLog::new(form, output, syslog, statsd))))
}

/// The connection of one of the logs to syslog.
fn open_syslog(config: &Config, log: &str) -> Result<Option<Syslog>, Error> {
    if !config.syslog {
        return Ok(None);
    }
    let prefix = match config.syslog_prefix.as_deref() {
        None | Some("") => config.title().replace(':', "."),
        Some(prefix) => prefix.to_owned(),
    };
    let (address, facility) = (&config.syslog_addr, &config.syslog_facility);
    Syslog::open(
        address.as_deref().unwrap_or_default(),
        facility.as_deref().unwrap_or_default(),
        format!("gunicorn.{prefix}.{log}"),
    )
    .map(Some)
}

fn open_statsd(config: &Config) -> Option<Arc<Statsd>> {
    let (prefix, tags) = (&config.statsd_prefix, &config.dogstatsd_tags);
    let statsd = Statsd::open(
        config.statsd_host.as_ref()?,
        prefix.as_deref().unwrap_or_default(),
        tags.as_deref().unwrap_or_default(),
    )?;
    Some(Arc::new(statsd))
}
