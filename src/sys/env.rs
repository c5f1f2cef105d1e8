//! Changes of the process environment, for tests that run alone in their process: `setenv(3)` must not
//! run while another thread reads the environment.

/// Sets `name` to `value`. Nothing happens if `name` is empty or holds `=`, or either holds a NUL:
/// the environment cannot express those.
pub fn set(name: &str, value: &str) {
    if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') {
        // SAFETY: see above.
        unsafe { std::env::set_var(name, value) }
    }
}

#[cfg(test)]
mod tests {
    use super::set;
    use crate::sys::testing::alone;

    #[test]
    fn variables_are_set() {
        alone("sys::env::tests::variables_are_set", || {
            set("RGUNICORN_TEST", "a=b");
            assert_eq!(std::env::var("RGUNICORN_TEST").as_deref(), Ok("a=b"));
            // Would panic in the standard library.
            set("", "x");
            set("A=B", "x");
            set("RGUNICORN_TEST", "\0");
            assert_eq!(std::env::var("RGUNICORN_TEST").as_deref(), Ok("a=b"));
        });
    }
}
