//! `examples/kubernetes`, by the schemas of Kubernetes and by what the settings mean; and its container, see
//! [`crate::docker`].

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::container::Container;
use crate::docker::image;
use crate::example::{EXAMPLES, Example};
use crate::tools;

const FACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/kubernetes.py");

fn facts(example: &Example) -> Output {
    let dir = TempDir::new().expect("a temporary directory can be made");
    Command::new(tools::program("python"))
        .arg(FACTS)
        .arg(example.write_to(dir.path()))
        .args([env!("CARGO_BIN_EXE_rgunicorn"), &format!("{EXAMPLES}/flask")])
        .env("VIRTUAL_ENV", crate::harness::venv::path())
        .output()
        .expect("it is installed")
}

fn site() -> Example {
    Example::read("kubernetes/site.yaml")
}

#[test]
#[ignore = "run by tests/system/run"]
fn the_schemas_of_kubernetes_accept_it() {
    let mut validate = Command::new(tools::program("kubernetes-validate"));
    tools::run(validate.args(["--strict", &format!("{EXAMPLES}/kubernetes/site.yaml")]));
    let dir = TempDir::new().expect("a temporary directory can be made");
    let wrong = site().with("periodSeconds", "periodsSeconds").write_to(dir.path());
    let output =
        Command::new(tools::program("kubernetes-validate")).arg("--strict").arg(wrong).output();
    assert!(!output.expect("it is installed").status.success(), "a misspelt field is noticed");
}

#[test]
#[ignore = "run by tests/system/run"]
fn names_and_times_agree() {
    let output = facts(&site());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (from, to, complaint) in [
        (
            "terminationGracePeriodSeconds: 45",
            "terminationGracePeriodSeconds: 30",
            "is killed after",
        ),
        ("failureThreshold: 9", "failureThreshold: 3", "a stuck worker"),
        ("targetPort: http", "targetPort: web", "targetPort"),
        ("cpu: \"2\"", "ephemeral-storage: 1Gi", "without a limit"),
    ] {
        let output = facts(&site().with(from, to));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(complaint), "{to}: {said}");
    }
}

/// The pod is healthy, and goes on serving for a while when it is told to end.
#[test]
#[ignore = "run by tests/system/run"]
fn the_container_starts_with_its_arguments() {
    let output = facts(&site());
    let text = String::from_utf8_lossy(&output.stdout);
    let arguments: Vec<&str> = text.lines().collect();
    assert!(arguments.contains(&"--shutdown-delay=5"), "{text}");
    let mut container = Container::run(image(), &arguments);
    container.wait_healthy();
    let began = Instant::now();
    container.signal(Signal::SIGTERM);
    while began.elapsed() < Duration::from_secs(4) {
        assert_eq!(container.get("/").0, 200, "after {:?}", began.elapsed());
    }
    assert_eq!(container.wait_exit(), 0);
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
}
