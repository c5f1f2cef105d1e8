//! The title that `ps` shows.
//!
//! The kernel serves `/proc/PID/cmdline` from the memory where it put the arguments at `exec`,
//! directly followed by the environment (`proc_pid_cmdline(5)`, Linux `fs/proc/base.c`,
//! `get_mm_cmdline`). If the last byte of the argument area is not NUL, it reads on into the
//! environment up to the first NUL. So a title is written over the arguments, and over the
//! environment if it is longer, once the environment's strings have moved to the heap.

use std::ffi::{CStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, PoisonError};

/// Where the kernel put the arguments and the environment.
#[derive(Clone, Copy, Debug)]
struct Area {
    start: usize,
    /// End of the arguments.
    arguments: usize,
    /// End of the environment if it follows the arguments, else of the arguments.
    end: usize,
}

static AREA: Mutex<Option<Area>> = Mutex::new(None);

/// Makes room for a title. To be called at the start of the program, after `std::env::args` has been
/// read for the last time (they are `args`) and before any thread is started: it moves the
/// environment.
///
/// # Errors
/// `/proc` is not there or has an unknown form, the arguments are not where it says (under
/// valgrind, whose own are there), or the process has threads already. Titles are then not shown;
/// nothing else changes.
pub fn init(args: &[OsString]) -> io::Result<()> {
    let expected: Vec<u8> = args.iter().flat_map(|arg| [arg.as_bytes(), b"\0"].concat()).collect();
    let (area, threads) = area()?;
    if threads > 1 {
        return Err(io::Error::other("the process has threads already"));
    }
    use_area(area, &expected)
}

/// The same in a process that somebody else has started, whose arguments are known to the kernel alone
/// and which may have threads. If it has, the environment stays where it is, and there is only the room of
/// the arguments for a title.
///
/// # Errors
/// As [`init`]; threads are none.
pub fn take_over() -> io::Result<()> {
    let mut expected = fs::read("/proc/self/cmdline")?;
    let (area, threads) = area()?;
    // It is longer if somebody has shown a title already that is longer than the arguments.
    expected.truncate(area.arguments - area.start);
    let end = if threads > 1 { area.arguments } else { area.end };
    use_area(Area { end, ..area }, &expected)
}

fn area() -> io::Result<(Area, usize)> {
    locate(&fs::read_to_string("/proc/self/stat")?).map_err(io::Error::other)
}

/// Makes room in `area` if its arguments are as `expected`.
fn use_area(area: Area, expected: &[u8]) -> io::Result<()> {
    if area.arguments - area.start != expected.len() {
        return Err(io::Error::other("the arguments are somewhere else"));
    }
    // SAFETY: the kernel says that this range is part of the process's initial stack, which is
    // readable and never unmapped; nothing writes to it before `set`.
    let found = unsafe { std::slice::from_raw_parts(area.start as *const u8, expected.len()) };
    if found != expected {
        return Err(io::Error::other("the arguments are somewhere else"));
    }
    move_environment(&area);
    *AREA.lock().unwrap_or_else(PoisonError::into_inner) = Some(area);
    Ok(())
}

/// Makes `title` what `ps` and `/proc/PID/cmdline` show, as far as there is room. Does nothing
/// before `init`.
pub fn set(title: &str) {
    let held = AREA.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(area) = *held else { return };
    // The last byte stays NUL, so that whoever reads here as a C string comes to an end.
    let room = area.end - area.start - 1;
    let shown = title.bytes().take_while(|byte| *byte != 0).take(room);
    let mut bytes: Vec<u8> = shown.collect();
    bytes.resize(room + 1, 0);
    // SAFETY: `init` learnt from the kernel that the area is this process's own initial stack,
    // which is writable and never unmapped; nothing of Rust lives there; the lock keeps writers
    // apart, and it is not the source of the copy.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), area.start as *mut u8, bytes.len()) }
}

/// Whether `set` does anything.
pub fn has_room() -> bool {
    AREA.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Reads the fields of `proc_pid_stat(5)`: 20 `num_threads`, 48 to 51 `arg_start`, `arg_end`,
/// `env_start`, `env_end`.
fn locate(text: &str) -> Result<(Area, usize), &'static str> {
    const UNKNOWN: &str = "/proc/self/stat does not tell the place of the arguments";
    // Field 2, the name in parentheses, may hold anything; the third follows the last parenthesis.
    let (_, rest) = text.rsplit_once(')').ok_or(UNKNOWN)?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| match fields.get(number - 3).map(|field| field.parse::<usize>()) {
        Some(Ok(value)) => Ok(value),
        _ => Err(UNKNOWN),
    };
    let (start, arguments) = (field(48)?, field(49)?);
    let (env_start, env_end) = (field(50)?, field(51)?);
    if start == 0 || arguments <= start {
        return Err(UNKNOWN);
    }
    let end = if env_start == arguments && env_end > env_start { env_end } else { arguments };
    Ok((Area { start, arguments, end }, field(20)?))
}

/// Gives every environment string that lies in the area a copy on the heap, where `getenv` of Rust,
/// C and Python finds it through the same table.
fn move_environment(area: &Area) {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    if area.end == area.arguments {
        return;
    }
    // SAFETY: there is one thread (both callers of `use_area` leave the environment out of the area if
    // there are more), so nobody reads or changes the table meanwhile. It ends with a null pointer and
    // its strings with NUL (POSIX `environ`). The copies are never freed: `getenv` may have handed
    // them out.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            if (area.arguments..area.end).contains(&(*entry as usize)) {
                let copy = CStr::from_ptr(*entry).to_owned();
                *entry = copy.into_raw();
            }
            entry = entry.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{init, locate, set, take_over};
    use crate::sys::testing::alone;

    fn shown() -> String {
        let bytes = fs::read("/proc/self/cmdline").expect("read");
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    }

    fn assert_shown(title: &str) {
        set(title);
        assert_eq!(shown(), title);
    }

    #[test]
    fn the_title_is_shown_and_the_environment_survives() {
        alone("sys::proctitle::tests::the_title_is_shown_and_the_environment_survives", || {
            let before: Vec<_> = std::env::vars_os().collect();
            let own = shown();
            set("too early");
            assert_eq!(shown(), own, "a title before init");
            init(&std::env::args_os().collect::<Vec<_>>()).expect("init");
            assert_eq!(shown(), own, "init alone");
            assert_shown("gunicorn: master [app:app]");
            // Longer than the arguments: runs over into the old environment.
            assert_shown(&format!("gunicorn: worker [{}]", "x".repeat(own.len())));
            assert_shown("short");
            set("nul\0is the end");
            assert_eq!(shown(), "nul");
            set(&"y".repeat(1 << 20));
            assert!(shown().len() > own.len() && shown().trim_matches('y').is_empty());
            // Behind somebody who has shown such a title.
            take_over().expect("take over");
            assert_shown("short again");
            assert!(!before.is_empty());
            assert_eq!(std::env::vars_os().collect::<Vec<_>>(), before);
            crate::sys::env::set("RGUNICORN_TITLE", "1");
            assert_eq!(std::env::var("RGUNICORN_TITLE").as_deref(), Ok("1"));
            // What is left of the arguments can still be read.
            assert!(std::env::args_os().count() > 0);
        });
    }

    #[test]
    fn where_threads_may_read_the_environment_it_stays() {
        alone("sys::proctitle::tests::where_threads_may_read_the_environment_it_stays", || {
            let before: Vec<_> = std::env::vars_os().collect();
            let own = fs::read("/proc/self/cmdline").expect("read").len();
            let (end, wait) = std::sync::mpsc::channel::<()>();
            let thread = std::thread::spawn(move || wait.recv());
            init(&std::env::args_os().collect::<Vec<_>>()).expect_err("there are threads");
            take_over().expect("take over");
            assert_shown("gunicorn: master [app:app]");
            set(&"y".repeat(1 << 20));
            assert_eq!(shown(), "y".repeat(own - 1));
            assert_eq!(std::env::vars_os().collect::<Vec<_>>(), before);
            drop(end);
            thread.join().expect("join").expect_err("nothing was sent");
        });
    }

    #[test]
    fn the_kernel_tells_the_place_of_the_arguments() {
        let fields = |threads: u32| {
            let mut fields = vec!["0".to_owned(); 50];
            fields[17] = threads.to_string();
            for (index, value) in [(45, "100"), (46, "200"), (47, "200"), (48, "300")] {
                fields[index] = value.to_owned();
            }
            format!("1 (a) b) {}", fields.join(" "))
        };
        for threads in [1, 2] {
            let (area, found) = locate(&fields(threads)).expect("area");
            assert_eq!((area.start, area.arguments, area.end), (100, 200, 300));
            assert_eq!(found, threads as usize);
        }
        assert!(locate("1 (x) S 1").is_err());
        assert!(locate("").is_err());
    }
}
