//! Each of gunicorn's settings in each form: rgunicorn prints the value that gunicorn prints, and
//! refuses what gunicorn refuses, in its words and with its exit status.
//!
//! Good values go together, many settings to a process. A bad value needs a process of its own;
//! for gunicorn's side of these, its configuration is asked in one process (`oracle.py`).

mod oracle;
mod table;

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Builder, Outcome, ServerKind};
use oracle::{Case, ask};
use table::{Row, TABLE, Values};

/// What the expressions of the table refer to.
const HELPERS: &str = "\
def helper1(a): pass
def helper2(a, b): pass
def helper3(a, b, c): pass
def helper4(a, b, c, d): pass
class Thing:
    def __init__(self, a): pass
    def method0(self): return 'a.B'
    def method1(self, a): pass
";

/// A command that prints its configuration, and its application.
fn printing(kind: ServerKind) -> Builder {
    Builder::new(kind)
        .in_own_dir()
        .file("factories.py", "application = print\n")
        .file("extra.ini", "")
        .app("factories")
        .without_bind()
        .args(["--print-config", "--no-control-socket"])
}

/// The settings that are not built, from the reference, which another test keeps true.
fn unbuilt() -> HashSet<&'static str> {
    let reference = include_str!("../../../docs/settings.md");
    let mut name = "";
    let mut names = HashSet::new();
    for line in reference.lines() {
        if let Some(heading) = line.strip_prefix("### `") {
            name = heading.trim_end_matches('`');
        } else if line.starts_with("- Not there yet") {
            names.insert(name);
        }
    }
    assert!(names.iter().all(|name| TABLE.iter().any(|row| row.name == *name)), "{names:?}");
    names
}

/// The words that give a row's setting a value on the command line.
fn words(row: &Row, value: &str) -> Vec<String> {
    if row.values.switch || row.name == "proxy_protocol" && value.is_empty() {
        return vec![format!("{}{value}", row.flag)];
    }
    value.split('|').flat_map(|value| [row.flag.to_owned(), value.to_owned()]).collect()
}

/// Runs `work` on all items, on a few threads.
fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

/// What makes a command of the plain one.
type Change = Box<dyn Fn(Builder) -> Builder + Sync>;

/// Collects what went wrong, so that one run shows all of it.
#[derive(Default)]
struct Wrong(Mutex<Vec<String>>);

impl Wrong {
    fn add(&self, text: String) {
        self.0.lock().expect("no thread panics with the lock").push(text);
    }

    #[track_caller]
    fn assert_none(self) {
        let wrong = self.0.into_inner().expect("no thread panics with the lock");
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

/// What both servers say to the same configuration, line by line. Ours has more lines at the end.
fn compare(what: &str, build: impl Fn(Builder) -> Builder, wrong: &Wrong) {
    let [theirs, ours] = [ServerKind::Gunicorn, ServerKind::Rgunicorn].map(|kind| {
        let builder = build(printing(kind));
        let dir = builder.dir().display().to_string();
        let outcome = builder.run();
        let plain = |text: String| text.replace(&dir, "START");
        Outcome { stdout: plain(outcome.stdout), stderr: plain(outcome.stderr), ..outcome }
    });
    if (theirs.status, &theirs.stderr) != (ours.status, &ours.stderr) {
        wrong.add(format!(
            "{what}: gunicorn {:?} {:?}\n   rgunicorn {:?} {:?}",
            theirs.status, theirs.stderr, ours.status, ours.stderr
        ));
    }
    if theirs.stdout.lines().count() != TABLE.len() {
        wrong.add(format!("{what}: gunicorn printed\n{}", theirs.stdout));
    }
    for (theirs, ours) in theirs.stdout.lines().zip(ours.stdout.lines()) {
        if theirs != ours {
            wrong.add(format!("{what}: gunicorn {theirs}\n   rgunicorn {ours}"));
        }
    }
}

/// The rows with a value for each round: the first round has the first value of each, and so on.
fn rounds(
    values: impl Fn(&Row) -> &'static [&'static str],
) -> Vec<Vec<(&'static Row, &'static str)>> {
    let unbuilt = unbuilt();
    // gunicorn loads the file that `paste` names; the other settings are shown as they are.
    let shown = |row: &&Row| !unbuilt.contains(row.name) && row.name != "paste";
    let rows: Vec<&Row> = TABLE.iter().filter(shown).collect();
    let count = rows.iter().map(|row| values(row).len()).max().unwrap_or_default();
    let round = |round: usize| {
        rows.iter().filter_map(|row| Some((*row, *values(row).get(round)?))).collect()
    };
    (0..count).map(round).collect()
}

/// The values of a row on the command line, if it has a flag.
fn good_flags(row: &Row) -> &'static [&'static str] {
    if row.flag.is_empty() { &[] } else { row.values.good_flags }
}

#[test]
fn good_values_are_shown_alike() {
    let wrong = Wrong::default();
    let mut batches: Vec<(String, Change)> = Vec::new();
    for (number, round) in rounds(good_flags).into_iter().enumerate() {
        let line: Vec<String> = round.iter().flat_map(|(row, value)| words(row, value)).collect();
        let quoted: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
        let variable = quoted.join(" ");
        batches
            .push((format!("command line {number}"), Box::new(move |builder| builder.args(&line))));
        batches.push((
            format!("GUNICORN_CMD_ARGS {number}"),
            Box::new(move |builder| builder.env("GUNICORN_CMD_ARGS", &variable)),
        ));
    }
    for (number, round) in rounds(|row| row.values.good).into_iter().enumerate() {
        let lines: Vec<String> =
            round.iter().map(|(row, value)| format!("{} = {value}", row.name)).collect();
        let text = format!("{HELPERS}{}\n", lines.join("\n"));
        batches.push((
            format!("conf file {number}"),
            Box::new(move |builder| builder.file("gunicorn.conf.py", &text)),
        ));
    }
    let variables: [&[(&str, &str)]; 3] = [
        &[("PORT", "80"), ("WEB_CONCURRENCY", " 3 "), ("FORWARDED_ALLOW_IPS", "*, ::1")],
        &[("PORT", ""), ("FORWARDED_ALLOW_IPS", ""), ("XDG_RUNTIME_DIR", "/tmp"), ("HOME", "/x/")],
        &[("XDG_RUNTIME_DIR", "/nowhere"), ("HOME", "/x/"), ("PWD", "/nowhere")],
    ];
    for variables in variables {
        batches.push((
            format!("{variables:?}"),
            Box::new(move |builder| {
                variables.iter().fold(builder, |builder, (name, value)| builder.env(name, value))
            }),
        ));
    }
    in_parallel(&batches, |(what, build)| compare(what, build, &wrong));
    wrong.assert_none();
}

/// A value that gunicorn refuses, and what rgunicorn says of it besides gunicorn's words.
struct Bad {
    what: String,
    case: Case,
    row: &'static Row,
}

impl Bad {
    /// The first setting of a kind is given all values of that kind, each further one another of them.
    fn all() -> Vec<Self> {
        let mut seen: Vec<*const Values> = Vec::new();
        let mut all = Vec::new();
        for row in &TABLE {
            let times = seen.iter().filter(|kind| std::ptr::eq(**kind, row.values)).count();
            let some = |values: &'static [&'static str]| match times {
                0 => values,
                times => {
                    let index = times % values.len().max(1);
                    values.get(index..=index).unwrap_or_default()
                }
            };
            seen.push(row.values);
            let flags = if row.flag.is_empty() { &[] } else { some(row.values.bad_flags) };
            for value in flags {
                let words = words(row, value);
                let what = words.join(" ");
                all.push(Self { what, case: Case::Flags(words), row });
            }
            for value in some(row.values.bad) {
                let what = format!("{} = {value}", row.name);
                let text = format!("{HELPERS}{what}\n");
                all.push(Self { what, case: Case::Conf(text), row });
            }
        }
        all
    }

    fn run(&self) -> Outcome {
        let builder = printing(ServerKind::Rgunicorn);
        match &self.case {
            Case::Flags(words) => builder.args(words).run(),
            Case::Conf(text) => builder.file("c.py", text).args(["-c", "c.py"]).run(),
        }
    }

    /// The place that rgunicorn names.
    fn place(&self) -> String {
        match &self.case {
            Case::Flags(_) => format!("{} on the command line)", self.row.flag),
            Case::Conf(_) => format!("{} in c.py)", self.row.name),
        }
    }
}

#[test]
fn bad_values_are_refused_alike() {
    let wrong = Wrong::default();
    let all = Bad::all();
    let like = printing(ServerKind::Gunicorn);
    let answers = ask(like.dir(), all.iter().map(|bad| &bad.case));
    assert_eq!(answers.len(), all.len());
    let both: Vec<_> = all.iter().zip(answers).collect();
    in_parallel(&both, |(bad, theirs)| {
        let ours = bad.run();
        let mut said = without_addresses(&ours.stderr);
        if theirs.status == 1 {
            // Behind gunicorn's words rgunicorn says where the value comes from.
            let (message, place) = said.trim_end().rsplit_once(" (").unwrap_or_default();
            if !place.ends_with(&bad.place()) {
                wrong.add(format!("{}: the place is missing in {:?}", bad.what, ours.stderr));
                return;
            }
            said = format!("{message}\n");
        }
        let expected = without_addresses(&theirs.stderr)
            .replace("usage: gunicorn ", "usage: rgunicorn ")
            .replace("\ngunicorn: ", "\nrgunicorn: ");
        if theirs.status == 0 {
            wrong.add(format!("{}: gunicorn accepts it", bad.what));
        } else if (ours.status, &said) != (Some(theirs.status), &expected) {
            let said = (ours.status, said);
            wrong.add(format!("{}: {:?} {expected:?}\n   {said:?}", bad.what, theirs.status));
        }
    });
    wrong.assert_none();
}

/// `<function f at 0x7f00>` as `<function f at 0x>`.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split(" at 0x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += " at 0x";
        out += part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out
}

/// The oracle and a whole gunicorn say the same.
#[test]
fn the_oracle_is_right() {
    let conf = "workers = 'x'\n";
    let flags = ["--workers", "-1", "factories"];
    let usage = ["--workers", "x", "factories"];
    let case = |words: [&str; 3]| Case::Flags(words.map(str::to_owned).into());
    let like = printing(ServerKind::Gunicorn);
    let answers = ask(like.dir(), &[Case::Conf(conf.into()), case(flags), case(usage)]);
    let outcomes = [
        printing(ServerKind::Gunicorn).file("gunicorn.conf.py", conf).run(),
        printing(ServerKind::Gunicorn).args(flags).run(),
        printing(ServerKind::Gunicorn).args(usage).run(),
    ];
    for (answer, outcome) in answers.iter().zip(outcomes) {
        assert_eq!((Some(answer.status), &answer.stderr), (outcome.status, &outcome.stderr));
    }
}

/// What is not built is refused, in the words of the rule, with the setting and its place.
#[test]
fn what_is_not_built_is_refused() {
    let wrong = Wrong::default();
    let unbuilt = unbuilt();
    let rows: Vec<&Row> = TABLE.iter().filter(|row| unbuilt.contains(row.name)).collect();
    in_parallel(&rows, |row| {
        let builder = printing(ServerKind::Rgunicorn);
        // The last values are never the default, except of what is on, or has no other value here.
        let (outcome, place) = match row.values.good_flags.last() {
            Some(value) if !row.values.switch && !row.flag.is_empty() => {
                let value = if row.name == "http_protocols" { "h2" } else { value };
                let outcome = builder.args(words(row, value)).run();
                (outcome, format!("{} on the command line)", row.flag))
            }
            _ => {
                let on = row.name == "suppress_ragged_eofs";
                let value = match row.values.good.last() {
                    _ if row.values.switch && on => "False",
                    _ if row.values.switch => "True",
                    value => value.expect("every row has a value for conf files"),
                };
                let text = format!("{HELPERS}{} = {value}\n", row.name);
                let outcome = builder.file("c.py", &text).args(["-c", "c.py"]).run();
                (outcome, format!("{} in c.py)", row.name))
            }
        };
        let sentence = format!("Error: rgunicorn does not have the setting '{}' yet (", row.name);
        let said = &outcome.stderr;
        if outcome.status != Some(1) || !said.contains(&sentence) || !said.contains(&place) {
            wrong.add(format!("{}: {:?} {said:?}", row.name, outcome.status));
        }
    });
    wrong.assert_none();
}
