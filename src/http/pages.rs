//! The HTML pages for requests that never reach the application, byte for byte gunicorn's.

/// The complete answer for `status`: head and page, encoded as latin-1, connection closing.
///
/// It is the same for every method and version: HTTP/1.1, body included, no Date. `message` is
/// escaped here. A character outside latin-1 becomes "?" (gunicorn would send nothing at all).
#[must_use]
pub fn error_page(status: u16, reason: &str, message: &str) -> Vec<u8> {
    error_page_with(status, reason, message, "")
}

/// As [`error_page`], with `extra` header lines.
pub fn error_page_with(status: u16, reason: &str, message: &str, extra: &str) -> Vec<u8> {
    let message = escape(message);
    let page = format!(
        "<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n  <body>\n    \
         <h1><p>{reason}</p></h1>\n    {message}\n  </body>\n</html>\n"
    );
    let length = page.chars().count();
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: text/html\r\n\
         Content-Length: {length}\r\n{extra}\r\n"
    );
    head.chars().chain(page.chars()).map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}

/// HTML-escapes `text`, quotes included.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#x27;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_of_a_failed_application_is_141_bytes() {
        let page = error_page(500, "Internal Server Error", "");
        let text = String::from_utf8(page).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            head,
            "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Type: text/html\r\n\
             Content-Length: 141"
        );
        assert_eq!(body.len(), 141);
        assert_eq!(
            body,
            "<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n    \
             <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n"
        );
    }

    #[test]
    fn message_is_escaped_and_counted_in_latin_1() {
        let page = error_page(400, "Bad Request", "<&\"'\u{e9}\u{20ac}");
        let end = page.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let expected: &[u8] = b"\n    &lt;&amp;&quot;&#x27;\xe9?\n";
        assert!(page.windows(expected.len()).any(|w| w == expected));
        let length = format!("Content-Length: {}\r\n", page.len() - end);
        assert!(page.windows(length.len()).any(|w| w == length.as_bytes()));
    }
}
