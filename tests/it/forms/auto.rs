//! `workers = auto`.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use crate::harness::cases::on_rgunicorn;
use crate::harness::{Builder, ServerKind};

on_rgunicorn!(as_many_workers_as_cpus);

/// The CPUs that this process, and so the server, may run on.
fn cpus() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).expect("the system tells");
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect()
}

fn as_many_workers_as_cpus(kind: ServerKind) {
    let cpus = cpus();
    let pin = format!("taskset -pc {} $$ >/dev/null", cpus[0]);
    let printed = |builder: Builder| {
        let outcome =
            builder.app("factories").without_bind().in_own_dir().args(["--print-config"]).run();
        // The file for the application is missing, which the command finds out afterwards.
        let line =
            outcome.stdout.lines().find(|line| line.starts_with("workers ")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{}{}", outcome.stdout, outcome.stderr))
    };
    let number = |line: &str| {
        line.rsplit("= ").next().and_then(|value| value.parse::<usize>().ok()).expect("a number")
    };
    let free = printed(Builder::new(kind).args(["-w", "auto"]));
    assert!((1..=cpus.len()).contains(&number(&free)), "{free}");
    let pinned = printed(Builder::new(kind).first(&pin).env("WEB_CONCURRENCY", "auto"));
    assert_eq!(number(&pinned), 1, "{pinned}");

    let conf = "workers = 'auto'\n";
    let server =
        Builder::new(kind).app("echo:app").first(&pin).file("gunicorn.conf.py", conf).start();
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.wait_workers(1).len(), 1);
}
