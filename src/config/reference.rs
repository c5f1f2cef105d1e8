//! The references made of the table: `-h` and `--help`, `--print-config`; and the files that are
//! committed, which a test compares: `docs/settings.md`, the man page and the completions of shells.

#[cfg(test)]
mod completions;
#[cfg(test)]
mod files;
pub mod help;
#[cfg(test)]
mod man;
#[cfg(test)]
mod markdown;

use std::fmt::Write as _;

use super::Origin;
use super::settings::{self, Config};

/// What `--print-config` prints: a line per setting in gunicorn's format, our own settings last. With
/// `origins`, which is for people, a remark behind each value that is not the default says where it
/// comes from.
pub fn print(config: &Config, origins: bool) -> String {
    let rows = config.rows();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().fold(String::new(), |mut out, (name, value)| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{name:width$} = {value}");
        let origin = config.origin(name);
        if origins && *origin != Origin::Default {
            let flags = settings::find(name).map_or(&[][..], |setting| setting.flags);
            let _ = write!(out, "  # {}", origin.place(name, flags));
        }
        out.push('\n');
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::TABLE;

    #[test]
    fn print_config_has_gunicorns_format() {
        let config = Config { pidfile: Some("/run/x".into()), ..Config::default() };
        let text = print(&config, false);
        assert_eq!(text.lines().count(), TABLE.len());
        // As wide as gunicorn's longest name, permit_unconventional_http_version.
        for (name, value) in [
            ("bind", "['127.0.0.1:8000']"),
            ("check_config", "False"),
            ("forwarded_allow_ips", "['127.0.0.1', '::1']"),
            ("header_map", "drop"),
            ("limit_request_field_size", "8190"),
            ("permit_unconventional_http_version", "False"),
            ("pidfile", "/run/x"),
            ("proc_name", "None"),
            ("proxy_protocol", "off"),
            (
                "secure_scheme_headers",
                "{'X-FORWARDED-PROTOCOL': 'ssl', 'X-FORWARDED-PROTO': 'https', \
                 'X-FORWARDED-SSL': 'on'}",
            ),
            ("sendfile", "None"),
        ] {
            let line = format!("{name:34} = {value}");
            assert!(text.lines().any(|other| other == line), "no line {line:?} in\n{text}");
        }
        assert!(text.lines().take(120).is_sorted() && text.lines().skip(120).is_sorted());
        assert!(text.lines().nth(119).is_some_and(|line| line.starts_with("wsgi_app ")));
    }

    #[test]
    fn print_config_shows_people_where_values_come_from() {
        let mut config = Config { workers: 3, ..Config::default() };
        config.origins.insert("workers", Origin::CommandLine);
        let text = print(&config, true);
        let line = format!("{:34} = 3  # -w/--workers on the command line", "workers");
        assert!(text.lines().any(|other| other == line), "no line {line:?} in\n{text}");
        assert_eq!(text.matches('#').count(), 1, "{text}");
    }
}
