//! The references made of the table: `docs/settings.md` and `--print-config`.

use std::fmt::Write as _;

use super::Origin;
use super::setting::{Section, Setting};
use super::settings::{self, Config, TABLE};

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

/// The text of `docs/settings.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "# Settings\n\n\
         <!-- Generated from the settings table (src/config/settings/). Do not edit; run\n     \
         UPDATE_DOCS=1 cargo test settings_docs -->\n\n\
         A setting has the same name in a Python conf file (`gunicorn.conf.py`) as here, and in\n\
         `rgunicorn.toml` or under `[tool.rgunicorn]` in `pyproject.toml`, of which one may take the conf\n\
         file's place. Its value is that of the strongest of these layers: default, file, the flags in the\n\
         environment variable `GUNICORN_CMD_ARGS`, the flags of the command line. \"Changes\" says when a\n\
         new value in the file takes effect. `rgunicorn --print-config` shows what results.\n",
    );
    let mut section = None;
    for setting in TABLE {
        if section != Some(setting.section) {
            section = Some(setting.section);
            heading(&mut out, setting.section);
        }
        entry(&mut out, setting);
    }
    out
}

fn heading(out: &mut String, section: Section) {
    let _ = writeln!(out, "\n## {}", section.title());
}

fn entry(out: &mut String, setting: &Setting) {
    let _ = writeln!(out, "\n### `{}`\n", setting.name);
    let flags: Vec<String> = setting
        .flags
        .iter()
        .map(|flag| match setting.metavar {
            "" => format!("`{flag}`"),
            metavar => format!("`{flag} {metavar}`"),
        })
        .collect();
    let flags = if flags.is_empty() { "none".to_owned() } else { flags.join(", ") };
    let _ = writeln!(out, "- Flags: {flags}");
    let default = setting.default_text();
    let default = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
    let _ = write!(out, "- Default: {default}");
    for from in setting.env {
        let _ = write!(out, ", or by the variable `{}`", from.var);
    }
    out.push('\n');
    let _ = writeln!(out, "- Accepts: {}", setting.accepts);
    let _ = writeln!(out, "- Changes: {}", setting.reload);
    if let Some(harmless) = setting.unbuilt {
        let harmless: Vec<String> =
            harmless().iter().map(|value| format!(" or `{}`", value.text())).collect();
        let _ = writeln!(out, "- Not there yet: only the default{} is accepted", harmless.concat());
    }
    out.push('\n');
    for line in setting.doc {
        let _ = writeln!(out, "{}", line.trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn settings_docs() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, markdown()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == markdown(),
            "docs/settings.md is out of date; run: UPDATE_DOCS=1 cargo test settings_docs"
        );
    }

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
