//! `examples/docker` without a Docker engine: the steps of the Dockerfile are replayed in a Debian made by
//! debootstrap, and the image is started as a container would be: unprivileged, without capabilities, on a
//! read-only file system, in name spaces of its own.
//!
//! What is not Docker's: `FROM debian:...-slim` is a minimal Debian of the same release as this system, and
//! `FROM rust:...` is the same with gcc and this machine's Rust. The crate is compiled without optimisation, unless the
//! variable `SYSTEM_OPTIMISED` is set, and its dependencies once for all tests. Certificates and the registries' addresses are this machine's.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::container::Container;
use crate::dockerfile::{Stage, Step, parse};
use crate::example::Example;
use crate::root::{Layer, place};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// What the file system of each stage has become.
pub struct Image {
    pub stages: Vec<(Stage, Layer)>,
}

impl Image {
    /// The last stage, which containers are made of.
    pub fn last(&self) -> &(Stage, Layer) {
        self.stages.last().expect("a Dockerfile has a stage")
    }

    /// The stage of this name.
    pub fn named(&self, name: &str) -> &Layer {
        let found = self.stages.iter().find(|(stage, _)| stage.name.as_deref() == Some(name));
        &found.unwrap_or_else(|| panic!("there is no stage {name}")).1
    }
}

/// The image of the example, built once.
#[track_caller]
pub fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut image = Image { stages: Vec::new() };
        for stage in parse(&Example::read("docker/Dockerfile").text) {
            let layer = Layer::of_debian();
            if stage.base.starts_with("rust:") {
                let install = "apt-get update -q && apt-get install -yq --no-install-recommends gcc libc6-dev";
                run(&layer, install, "/");
            } else {
                assert!(stage.base.starts_with("debian:"), "a base the replay does not know");
            }
            for step in &stage.steps {
                match step {
                    Step::Run { command, workdir } => run(&layer, command, workdir),
                    Step::Copy { from, source, destination, workdir } => {
                        let to = Path::new(workdir).join(destination);
                        match from {
                            Some(from) => copy(&image.named(from).find(source), &layer, &to),
                            None => copy(&context(source), &layer, &to),
                        }
                    }
                }
            }
            image.stages.push((stage, layer));
        }
        image
    })
}

/// A file or directory of the build context.
fn context(source: &str) -> PathBuf {
    Path::new(REPOSITORY).join(source)
}

/// Copies a file to a path, or what is in a directory into another one; without what `.dockerignore` names.
#[track_caller]
pub fn copy(source: &Path, layer: &Layer, destination: &Path) {
    let to = layer.upper().join(destination.strip_prefix("/").expect("an absolute path"));
    if source.is_file() {
        fs::create_dir_all(to.parent().expect("a file is in a directory")).expect("writable");
        fs::copy(source, to).expect("it can be copied");
        return;
    }
    fs::create_dir_all(&to).expect("the layer is writable");
    let ignore = Example::read("docker/Dockerfile.dockerignore");
    let names = ignore.text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut pack = Command::new("tar");
    pack.args(names.map(|name| format!("--exclude=./{name}"))).args(["-cf", "-", "."]);
    let mut pack = pack.current_dir(source).stdout(Stdio::piped()).spawn().expect("there is tar");
    let archive = pack.stdout.take().expect("stdout is piped");
    let unpack = Command::new("tar").args(["-xf", "-", "-C"]).arg(&to).stdin(archive).status();
    assert!(unpack.is_ok_and(|status| status.success()), "{} cannot be copied", source.display());
    assert!(pack.wait().is_ok_and(|status| status.success()), "{}", source.display());
}

/// Where the Rust of this machine appears.
const RUST: &str = "/usr/local/rust";

/// Where what cargo compiles appears.
const TARGET: &str = "/var/cache/cargo-target";

/// Runs a shell command as root, with the network and the Rust of this machine.
#[track_caller]
pub fn run(layer: &Layer, command: &str, workdir: &str) {
    let sysroot =
        Command::new("rustc").args(["--print", "sysroot"]).current_dir(REPOSITORY).output();
    let sysroot = sysroot.expect("there is rustc where cargo runs").stdout;
    let sysroot = String::from_utf8_lossy(&sysroot).trim().to_owned();
    let cargo_home = env::var("CARGO_HOME")
        .unwrap_or_else(|_| format!("{}/.cargo", env::var("HOME").expect("there is a home")));
    // The downloads of cargo are read from this machine's and kept in memory beyond. What is compiled is kept, so that
    // it is compiled once.
    let target = place().join("target");
    fs::create_dir_all(&target).expect("the target directory is writable");
    let target = target.display();
    let extra = format!(
        r#"
        mkdir -p "$root{RUST}" "$root/usr/local/cargo/registry" "$root{workdir}" "$root/run/host"
        mount -o bind,ro {sysroot} "$root{RUST}"
        mount -t tmpfs tmpfs "$root/mnt"; mkdir "$root/mnt/upper" "$root/mnt/work"
        mkdir -p {cargo_home}/registry
        mount -t overlay overlay -o "lowerdir={cargo_home}/registry,upperdir=$root/mnt/upper,workdir=$root/mnt/work" \
            "$root/usr/local/cargo/registry"
        mkdir -p "$root{TARGET}"
        mount --bind {target} "$root{TARGET}"
        for file in /etc/resolv.conf /etc/hosts; do
            touch "$root$file"; mount --bind "$file" "$root$file"
        done
        touch "$root/run/host/certificates"
        mount --bind /etc/ssl/certs/ca-certificates.crt "$root/run/host/certificates"
        "#
    );
    let mut inside = layer.enter(&[], &extra);
    inside.args(["/usr/bin/env", &format!("--chdir={workdir}"), "/bin/sh", "-ec", command]);
    inside.env_clear();
    // How this machine reaches the registries.
    let passed = |name: &str| {
        name.to_lowercase().ends_with("_proxy")
            || name == "PIP_INDEX_URL"
            || name == "PIP_EXTRA_INDEX_URL"
    };
    inside.envs(env::vars().filter(|(name, _)| passed(name)));
    inside.env(
        "PATH",
        format!("{RUST}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    );
    inside
        .env("CARGO_TARGET_DIR", TARGET)
        .env("CARGO_HOME", "/usr/local/cargo")
        .env("HOME", "/root");
    inside.env("DEBIAN_FRONTEND", "noninteractive");
    for name in ["PIP_CERT", "SSL_CERT_FILE", "CARGO_HTTP_CAINFO"] {
        inside.env(name, "/run/host/certificates");
    }
    if env::var_os("SYSTEM_OPTIMISED").is_none() {
        // As a whole it is linked all the same: what becomes of a missing libpython depends on that.
        for (name, value) in [("OPT_LEVEL", "0"), ("CODEGEN_UNITS", "16"), ("DEBUG", "0")] {
            inside.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
        }
    }
    let began = Instant::now();
    let output = inside.stdin(Stdio::null()).output().expect("there is unshare");
    eprintln!("{:6.1} s  {command}", began.elapsed().as_secs_f32());
    assert!(
        output.status.success(),
        "`{command}` has failed with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// 10 MiB, which are more than rgunicorn keeps in memory.
const UPLOAD: usize = 10 * 1024 * 1024;

#[test]
#[ignore = "run by tests/system/run"]
fn the_image_works_read_only_and_unprivileged() {
    let mut container = Container::run(image(), &[]);
    container.wait_healthy();
    let (status, page) = container.get("/");
    assert_eq!((status, page.contains("<h1>Guestbook</h1>")), (200, true), "{page}");
    let answer = container.upload("/upload", &vec![b'a'; UPLOAD]);
    assert!(answer.starts_with(&format!("{UPLOAD} ")), "{answer}");

    // It has been confined as it should.
    let status = container.fact("status");
    for line in ["Uid:\t10001\t10001\t10001\t10001", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"]
    {
        assert!(status.contains(line), "no {line:?} in:\n{status}");
    }
    let mounts = container.fact("mountinfo");
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
    assert!(root.is_some_and(|line| line.contains(" / ro,")), "{mounts}");
    // Its number in the container.
    let numbers = status.lines().find(|line| line.starts_with("NSpid:"));
    assert!(numbers.is_some_and(|line| line.ends_with("\t1")), "{numbers:?}");

    // As `docker stop` does.
    assert_eq!(container.stop(Signal::SIGTERM), 0);
}

#[test]
#[ignore = "run by tests/system/run"]
fn the_exit_status_says_what_is_wrong() {
    let mut container = Container::run(image(), &["nothing_of_that_name:app"]);
    assert_eq!(container.wait_exit(), 3);
}
