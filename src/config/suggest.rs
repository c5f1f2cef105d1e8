//! Which setting somebody meant by a name that is none.

use strsim::damerau_levenshtein as distance;

use super::settings::{self, TABLE};

/// Names of settings that other servers have, or gunicorn once had, and what they are called here.
const FORMER: [(&str, &str); 3] = [
    ("max_requests_per_child", "max_requests"),
    ("error_file", "errorlog"),
    ("access_file", "accesslog"),
];

/// Names that are found in conf files and mean nothing to gunicorn.
const MEANINGLESS: [&str; 3] = ["ssl_session_cache", "worker_int_class", "x_forwarded_for_header"];

/// Shorter names of flags are ordinary words, which conf files use for their own variables.
const SHORTEST_FLAG: usize = 6;

/// Whether a name is known to be a mistake, though it resembles no setting.
pub fn is_mistake(name: &str) -> bool {
    MEANINGLESS.contains(&name)
}

/// The setting that is meant by a name, if it resembles one: in upper case, with dashes, by its flag,
/// or with a letter or two wrong.
pub fn suggest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('-', "_");
    if let Some(setting) = settings::find(&name) {
        return Some(setting.name);
    }
    if let Some((_, setting)) = FORMER.iter().find(|(former, _)| *former == name) {
        return Some(setting);
    }
    let flag = format!("--{}", name.replace('_', "-"));
    let by_flag = TABLE.iter().find(|setting| setting.flags.contains(&flag.as_str()));
    if let Some(setting) = by_flag.filter(|_| name.len() >= SHORTEST_FLAG) {
        return Some(setting.name);
    }
    let tolerated = match name.len() {
        0..=3 => 0,
        4..=8 => 1,
        _ => 2,
    };
    let near = TABLE.iter().map(|setting| (distance(&name, setting.name), setting.name));
    near.min().filter(|(distance, _)| *distance <= tolerated).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_lead_to_the_setting() {
        for (name, setting) in [
            ("worker", "workers"),
            ("BIND", "bind"),
            ("keep_alive", "keepalive"),
            ("preload", "preload_app"),
            ("access-logfile", "accesslog"),
            ("log_level", "loglevel"),
            ("log_file", "errorlog"),
            ("error-file", "errorlog"),
            ("time_out", "timeout"),
            ("max_requests_jiter", "max_requests_jitter"),
            ("post_wroker_init", "post_worker_init"),
            ("max_requests_per_child", "max_requests"),
            ("worker_conections", "worker_connections"),
        ] {
            assert_eq!(suggest(name), Some(setting), "{name}");
        }
    }

    #[test]
    fn ordinary_names_lead_nowhere() {
        for name in [
            "",
            "os",
            "env",
            "name",
            "host",
            "port",
            "pid",
            "cpu_count",
            "cores",
            "debug",
            "path",
            "logger",
            "config_dir",
            "max_workers",
            "server",
            "x_forwarded_for_header",
            "hello",
            "max_memory",
            "worker_count",
            "ssl_session_cache",
        ] {
            assert_eq!(suggest(name), None, "{name}");
        }
    }
}
