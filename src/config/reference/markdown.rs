//! `docs/settings.md`.

use std::fmt::Write as _;

use crate::config::setting::{Section, Setting};
use crate::config::settings::TABLE;

/// The text of `docs/settings.md`.
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
    let default = (setting.default)().shown();
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
