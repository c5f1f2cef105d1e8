//! What getaddrinfo(3) says when a host name has no address.

use std::ffi::CStr;

/// The number of a failure that is described so; the standard library passes on the description only.
#[must_use]
pub fn error_number(description: &str) -> Option<i32> {
    let describes = |code: &i32| {
        // SAFETY: takes any number and returns a static string.
        let text = unsafe { CStr::from_ptr(libc::gai_strerror(*code)) };
        text.to_str() == Ok(description)
    };
    [libc::EAI_NONAME, libc::EAI_AGAIN, libc::EAI_FAIL, libc::EAI_NODATA]
        .into_iter()
        .find(describes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_numbers() {
        assert_eq!(error_number("Name or service not known"), Some(-2));
        assert_eq!(error_number("Temporary failure in name resolution"), Some(-3));
        assert_eq!(error_number("the name has no address"), None);
    }
}
