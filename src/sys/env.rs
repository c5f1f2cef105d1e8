//! Changes of the process environment.
//!
//! `setenv(3)` must not run while another thread reads the environment. Rust code of this program
//! does not start threads, and the interpreter's threads read it under the GIL, which the caller
//! holds whenever the interpreter is there: in the master these functions are for the main thread,
//! at start and reload, and in a worker for the boot.

/// Sets `name` to `value`. Nothing happens if `name` is empty or holds `=`, or either holds a NUL:
/// the environment cannot express those.
#[cfg(test)]
pub fn set(name: &str, value: &str) {
    if valid(name) && !value.contains('\0') {
        // SAFETY: see above.
        unsafe { std::env::set_var(name, value) }
    }
}

/// Removes `name`, if it is there.
pub fn remove(name: &str) {
    if valid(name) {
        // SAFETY: see above.
        unsafe { std::env::remove_var(name) }
    }
}

fn valid(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

#[cfg(test)]
mod tests {
    use super::{remove, set};
    use crate::sys::testing::alone;

    #[test]
    fn variables_come_and_go() {
        alone("sys::env::tests::variables_come_and_go", || {
            set("RGUNICORN_TEST", "a=b");
            assert_eq!(std::env::var("RGUNICORN_TEST").as_deref(), Ok("a=b"));
            remove("RGUNICORN_TEST");
            assert!(std::env::var("RGUNICORN_TEST").is_err());
            // Would panic in the standard library.
            set("", "x");
            set("A=B", "x");
            set("RGUNICORN_TEST", "\0");
            remove("A\0");
            assert!(std::env::var("RGUNICORN_TEST").is_err());
        });
    }
}
