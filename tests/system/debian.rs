//! A bare Debian, in which rgunicorn is installed as `docs/install.md` says, serves the Flask example and stops. How
//! long each step takes is printed (`tests/system/run debian --nocapture`); see [`crate::docker`] for what the
//! compiler does otherwise than for users.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::container::Container;
use crate::docker::{copy, image, run};
use crate::dockerfile::Start;
use crate::example::EXAMPLES;
use crate::root::Layer;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Serves the example by a command line, from the first process to the end.
#[track_caller]
fn serve(layer: Layer, command: &[&str]) {
    let began = Instant::now();
    copy(&Path::new(EXAMPLES).join("flask"), &layer, Path::new("/srv/site"));
    let start = Start {
        workdir: "/srv/site".into(),
        user: "10001:10001".into(),
        port: 8000,
        entrypoint: command.iter().map(ToString::to_string).collect(),
        ..Start::default()
    };
    let mut container = Container::start(layer, start);
    container.wait_serving();
    let answered = began.elapsed();
    assert!(container.get("/").1.contains("<h1>Guestbook</h1>"));
    assert!(container.upload("/upload", b"hello").starts_with("5 "));
    assert_eq!(container.stop(Signal::SIGTERM), 0);
    eprintln!("{:6.1} s  until the first answer: {}", answered.as_secs_f32(), command.join(" "));
}

/// Where `cargo install` puts the binary.
pub const COMMAND: &str = "/usr/local/bin/rgunicorn";

pub const PACKAGES: &str = "apt-get update -q && apt-get install -yq --no-install-recommends";
const FLASK: &str = "/srv/venv/bin/pip install -q --no-cache-dir -r /srv/requirements.txt";

fn bare() -> Layer {
    let layer = Layer::of_debian();
    let requirements = Path::new(EXAMPLES).join("flask/requirements.txt");
    copy(&requirements, &layer, Path::new("/srv/requirements.txt"));
    layer
}

/// A wheel that was built somewhere else needs nothing but Python.
#[test]
#[ignore = "run by tests/system/run"]
fn a_wheel_is_installed_without_a_compiler() {
    let layer = bare();
    copy(&image().named("build").find("/srv/wheels"), &layer, Path::new("/srv/wheels"));
    run(&layer, &format!("{PACKAGES} python3-venv"), "/");
    run(&layer, &format!("python3 -m venv /srv/venv && {FLASK} /srv/wheels/*.whl"), "/");
    serve(layer.continued(), &["/srv/venv/bin/rgunicorn", "--workers", "2", "app:app"]);
    serve(layer, &["/srv/venv/bin/python", "-m", "rgunicorn", "--workers", "2", "app:app"]);
}

/// Where the binary has been compiled and installed as [`COMMAND`], once.
#[track_caller]
pub fn with_binary() -> &'static Layer {
    static LAYER: OnceLock<Layer> = OnceLock::new();
    LAYER.get_or_init(|| {
        let layer = bare();
        copy(Path::new(REPOSITORY), &layer, Path::new("/usr/src/rgunicorn"));
        run(&layer, &format!("{PACKAGES} build-essential python3-dev python3-venv"), "/");
        run(&layer, "cargo install --locked --path . --root /usr/local", "/usr/src/rgunicorn");
        layer
    })
}

/// It serves an environment it is told of.
#[test]
#[ignore = "run by tests/system/run"]
fn the_binary_is_installed_with_cargo() {
    let layer = with_binary().continued();
    run(&layer, &format!("python3 -m venv /srv/venv && {FLASK}"), "/");
    serve(layer, &[COMMAND, "--venv", "/srv/venv", "--workers", "2", "app:app"]);
}
