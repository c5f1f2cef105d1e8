//! Facts about processes, from /proc.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::wait::{BOUND, until};

/// One line of /proc/PID/stat, as far as the tests need it.
struct Stat {
    pid: i32,
    parent: i32,
    group: i32,
    alive: bool,
}

fn all() -> impl Iterator<Item = Stat> {
    fs::read_dir("/proc")
        .expect("/proc is readable")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read)
}

fn read(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself contain blanks and parentheses.
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Stat { pid, parent, group, alive: !matches!(state, "Z" | "X") })
}

/// Living children of a process, lowest process id first.
pub fn children(pid: i32) -> Vec<i32> {
    let mut found: Vec<i32> =
        all().filter(|stat| stat.parent == pid && stat.alive).map(|stat| stat.pid).collect();
    found.sort_unstable();
    found
}

/// Children of a process that have ended and were not waited for.
pub fn zombies(pid: i32) -> usize {
    all().filter(|stat| stat.parent == pid && !stat.alive).count()
}

/// Living members of a process group.
pub fn members(group: i32) -> Vec<i32> {
    all().filter(|stat| stat.group == group && stat.alive).map(|stat| stat.pid).collect()
}

pub fn is_alive(pid: i32) -> bool {
    read(pid).is_some_and(|stat| stat.alive)
}

/// Waits for the end of a process that need not be a child of the test.
#[track_caller]
pub fn until_gone(pid: i32) {
    until(BOUND, "the end of a process", || (!is_alive(pid)).then_some(()));
}

/// Waits for something, with no thread at work.
pub fn is_asleep(pid: i32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}

/// The CPU time a process has used so far, all its threads, user and system.
#[track_caller]
pub fn cpu_time(pid: i32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    let times = tasks.flatten().filter_map(|task| {
        // Nanoseconds on the CPU come first.
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum())
}

/// How long the main thread of a process has been ready to run so far without a CPU to run on.
pub fn waited(pid: i32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// What the open descriptors of a process refer to, as /proc shows it.
pub fn descriptors(pid: i32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}

/// The memory of a process that is in RAM, in bytes.
#[track_caller]
pub fn resident(pid: i32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kib.expect("a figure in kB") * 1024
}

/// The command line as `ps` shows it, which is where process titles end up.
pub fn title(pid: i32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&raw).replace('\0', " ");
    text.trim_end().to_owned()
}

/// Sends a signal; a process that is already gone is no error.
pub fn signal(pid: i32, signal: Signal) {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(error) => panic!("cannot send {signal} to {pid}: {error}"),
    }
}

/// Sends a signal to a whole process group, if any of it is left.
pub fn signal_group(group: i32, signal: Signal) {
    // ESRCH, nothing left, is what the caller wants.
    let _ = killpg(Pid::from_raw(group), signal);
}

/// What follows `NAME:` in /proc/PID/status, without blanks around it.
#[track_caller]
pub fn status(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in\n{text}")).trim().to_owned()
}

/// Session and controlling terminal (0: none) of a process.
#[track_caller]
pub fn session(pid: i32) -> (i32, i32) {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let numbers: Vec<i32> = fields.skip(3).take(2).filter_map(|field| field.parse().ok()).collect();
    (numbers[0], numbers[1])
}

/// What a descriptor of a process refers to.
pub fn descriptor(pid: i32, number: i32) -> String {
    let link = fs::read_link(format!("/proc/{pid}/fd/{number}"));
    link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}
