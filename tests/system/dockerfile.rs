//! What a Dockerfile says, as far as the example uses it. An instruction that is not known fails the test, so
//! that nothing in the example goes unread.

use std::collections::BTreeMap;

/// One `FROM` and what follows it.
#[derive(Debug, Default)]
pub struct Stage {
    pub base: String,
    pub name: Option<String>,
    pub steps: Vec<Step>,
    /// What holds for the container that is started.
    pub start: Start,
}

/// What changes the file system.
#[derive(Debug)]
pub enum Step {
    Run { command: String, workdir: String },
    Copy { from: Option<String>, source: String, destination: String, workdir: String },
}

/// How a container is started.
#[derive(Clone, Debug)]
pub struct Start {
    pub workdir: String,
    pub user: String,
    pub port: u16,
    pub environment: BTreeMap<String, String>,
    pub health: Vec<String>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            workdir: "/".into(),
            user: "0:0".into(),
            port: 0,
            environment: BTreeMap::new(),
            health: Vec::new(),
            entrypoint: Vec::new(),
            command: Vec::new(),
        }
    }
}

/// Reads all stages.
#[track_caller]
pub fn parse(text: &str) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for line in instructions(text) {
        let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("what is `{line}`?"));
        let rest = rest.trim();
        if name == "FROM" {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let (base, name) = match words[..] {
                [base] => (base, None),
                [base, "AS", name] => (base, Some(name.to_owned())),
                _ => panic!("what is `{line}`?"),
            };
            stages.push(Stage { base: base.to_owned(), name, ..Stage::default() });
        } else {
            let stage = stages.last_mut().expect("a Dockerfile begins with FROM");
            instruction(stage, name, rest);
        }
    }
    stages
}

/// Lines without comments, each with those that continue it.
fn instructions(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(start) = line.strip_suffix('\\') {
            open += start;
        } else if !line.is_empty() {
            all.push(std::mem::take(&mut open) + line);
        }
    }
    all
}

#[track_caller]
fn instruction(stage: &mut Stage, name: &str, rest: &str) {
    let workdir = stage.start.workdir.clone();
    let start = &mut stage.start;
    match name {
        "RUN" => stage.steps.push(Step::Run { command: rest.to_owned(), workdir }),
        "COPY" => {
            let (from, paths) = match rest.strip_prefix("--from=") {
                Some(rest) => rest.split_once(' ').map(|(from, paths)| (Some(from), paths)),
                None => Some((None, rest)),
            }
            .unwrap_or_else(|| panic!("what is `COPY {rest}`?"));
            let words: Vec<&str> = paths.split_whitespace().collect();
            let [source, destination] = words[..] else {
                panic!("COPY with other than one source: {rest}")
            };
            stage.steps.push(Step::Copy {
                from: from.map(str::to_owned),
                source: source.to_owned(),
                destination: destination.to_owned(),
                workdir,
            });
        }
        "WORKDIR" => start.workdir = rest.into(),
        "USER" => start.user = rest.into(),
        "EXPOSE" => start.port = rest.parse().expect("a port"),
        "ENV" => {
            let (name, value) = rest.split_once('=').expect("NAME=VALUE");
            start.environment.insert(name.to_owned(), value.trim_matches('"').to_owned());
        }
        "HEALTHCHECK" => {
            let (_, command) = rest.split_once("CMD ").expect("a health check has a command");
            start.health = words(command);
        }
        "ENTRYPOINT" => start.entrypoint = words(rest),
        "CMD" => start.command = words(rest),
        _ => panic!("the replay does not know the instruction {name}"),
    }
}

/// The words of the form that runs without a shell: a list of strings in double quotes.
#[track_caller]
fn words(list: &str) -> Vec<String> {
    let inner = list.trim().strip_prefix("[\"").and_then(|list| list.strip_suffix("\"]"));
    let inner = inner.unwrap_or_else(|| panic!("not in the exec form: {list}"));
    assert!(!inner.contains('\\'), "the replay does not know escapes: {list}");
    inner.split("\", \"").map(str::to_owned).collect()
}
