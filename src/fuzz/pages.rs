//! Error pages.

use super::{find, lines};

/// Checks a whole error page as it goes over the wire.
pub(super) fn check(page: &[u8], status: u16, reason: &str) {
    let end = find(page, b"\r\n\r\n").expect("the head ends");
    let (head, body) = (&page[..end], &page[end + 4..]);
    let expected = [
        format!("HTTP/1.1 {status} {reason}"),
        "Connection: close".to_owned(),
        "Content-Type: text/html".to_owned(),
        format!("Content-Length: {}", body.len()),
    ];
    let expected: Vec<_> = expected.iter().map(String::as_bytes).collect();
    assert_eq!(lines(head), expected);

    // What the client sent cannot add markup: there are the tags of the page and no others.
    let count = |byte: u8| body.split(|found| *found == byte).count() - 1;
    assert_eq!((count(b'<'), count(b'>')), (12, 12), "{}", body.escape_ascii());
    assert_eq!((count(b'"'), count(b'\'')), (0, 0), "{}", body.escape_ascii());
    let title = format!("<html>\n  <head>\n    <title>{reason}</title>\n");
    assert!(body.starts_with(title.as_bytes()) && body.ends_with(b"\n  </body>\n</html>\n"));
}
