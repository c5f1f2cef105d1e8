//! Questions to gunicorn's own configuration, many in one process.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::venv;

const PROGRAM: &str = include_str!("oracle.py");

/// What to ask about.
pub enum Case {
    /// The words of a command line.
    Flags(Vec<String>),
    /// The text of a conf file.
    Conf(String),
}

/// What gunicorn does with it.
pub struct Answer {
    pub status: i32,
    pub stderr: String,
}

/// Asks about all cases, in their order, as if started in `directory`.
pub fn ask<'a>(directory: &Path, cases: impl IntoIterator<Item = &'a Case>) -> Vec<Answer> {
    let mut questions = String::new();
    for case in cases {
        match case {
            Case::Flags(words) => {
                questions.push_str("flags\x1f");
                questions.push_str(&words.join("\x1f"));
            }
            Case::Conf(text) => {
                questions.push_str("conf\x1f");
                questions.push_str(text);
            }
        }
        questions.push('\x1e');
    }
    let mut python = Command::new(venv::program("python"))
        .args(["-c", PROGRAM])
        .current_dir(directory)
        .env_remove("GUNICORN_CMD_ARGS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test environment has a Python");
    let mut input = python.stdin.take().expect("stdin is piped");
    let writer = std::thread::spawn(move || input.write_all(questions.as_bytes()));
    let output = python.wait_with_output().expect("Python can be waited for");
    writer.join().expect("the writer does not panic").expect("Python reads everything");
    assert!(output.status.success(), "{}", output.status);
    let answers = String::from_utf8(output.stdout).expect("Python writes UTF-8");
    answers.split_terminator('\x1e').map(answer).collect()
}

fn answer(record: &str) -> Answer {
    let (status, stderr) = record.split_once('\x1f').expect("an answer has two fields");
    Answer { status: status.parse().expect("a status is a number"), stderr: stderr.into() }
}
