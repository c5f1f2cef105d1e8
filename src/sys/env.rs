//! Changes of the process environment.
//!
//! `setenv(3)` must not run while another thread reads the environment. Rust code of this program
//! does not start threads, and the interpreter's threads read it under the GIL, which the caller
//! holds whenever the interpreter is there: in the master these functions are for the main thread,
//! at start and reload, and in a worker for the boot.

/// Sets `name` to `value`. Nothing happens if `name` is empty or holds `=`, or either holds a NUL:
/// the environment cannot express those.
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
    use crate::sys::testing::in_child;

    #[test]
    fn variables_come_and_go() {
        in_child(|| {
            super::set("RGUNICORN_TEST", "a=b");
            let set = std::env::var("RGUNICORN_TEST").ok();
            super::remove("RGUNICORN_TEST");
            let removed = std::env::var("RGUNICORN_TEST").ok();
            // Would panic in the standard library.
            super::set("", "x");
            super::set("A=B", "x");
            super::set("RGUNICORN_TEST", "\0");
            super::remove("A\0");
            match (set.as_deref(), removed) {
                (Some("a=b"), None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
}
