//! Changes of the process environment, while there is one thread: `setenv(3)` must not run while another
//! one reads the environment.

use std::ffi::OsString;

/// Removes a variable that only this program is to see, and returns its value. To be called at the start of
/// the program, before it starts a thread.
pub fn take(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: see above.
    unsafe { std::env::remove_var(name) }
    Some(value)
}

/// For tests that run alone in their process. Sets `name` to `value`. Nothing happens if `name` is empty or holds `=`, or either holds a NUL:
/// the environment cannot express those.
#[cfg(test)]
pub fn set(name: &str, value: &str) {
    if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') {
        // SAFETY: see above.
        unsafe { std::env::set_var(name, value) }
    }
}

#[cfg(test)]
mod tests {
    use super::{set, take};
    use crate::sys::testing::alone;

    #[test]
    fn variables_are_set() {
        alone("sys::env::tests::variables_are_set", || {
            set("RGUNICORN_TEST", "a=b");
            assert_eq!(std::env::var("RGUNICORN_TEST").as_deref(), Ok("a=b"));
            assert_eq!(take("RGUNICORN_TEST").as_deref(), Some("a=b".as_ref()));
            assert_eq!(take("RGUNICORN_TEST"), None);
            set("RGUNICORN_TEST", "a=b");
            // Would panic in the standard library.
            set("", "x");
            set("A=B", "x");
            set("RGUNICORN_TEST", "\0");
            assert_eq!(std::env::var("RGUNICORN_TEST").as_deref(), Ok("a=b"));
        });
    }
}
