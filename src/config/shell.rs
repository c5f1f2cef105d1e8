//! Splitting of `GUNICORN_CMD_ARGS` into words, by the rules of Python's `shlex.split`.

/// Splits text into words as a POSIX shell would, without expansions and without comments (the
/// difference from ready-made crates, which end a word at `#`): words end at space, tab, CR, LF;
/// single quotes keep everything; in double quotes a backslash escapes only `"` and itself.
///
/// # Errors
/// `No closing quotation` or `No escaped character`, as Python words them.
pub fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    // None between words; Some("") is a word, once a quote was seen.
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or("No closing quotation")? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or("No closing quotation")? {
                        '"' => break,
                        '\\' => match chars.next().ok_or("No escaped character")? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => {
                word.get_or_insert_default().push(chars.next().ok_or("No escaped character")?);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_as_python_does() {
        for (text, words) in [
            ("", vec![]),
            ("  -w 4\t-b\n:80 ", vec!["-w", "4", "-b", ":80"]),
            ("-n '' x", vec!["-n", "", "x"]),
            ("-n #x", vec!["-n", "#x"]),
            (r#"a'b c'"d e"f"#, vec!["ab cd ef"]),
            (r#""a\"b\\c\d" e\ f"#, vec![r#"a"b\c\d"#, "e f"]),
            (r"'a\'", vec!["a\\"]),
        ] {
            assert_eq!(split(text), Ok(words.into_iter().map(String::from).collect()), "{text}");
        }
        assert_eq!(split("-n 'x"), Err("No closing quotation"));
        assert_eq!(split("-n \"x"), Err("No closing quotation"));
        assert_eq!(split("x\\"), Err("No escaped character"));
        assert_eq!(split("\"x\\"), Err("No escaped character"));
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("[^']*", 0..5)) {
            let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            prop_assert_eq!(split(&line.join(" ")), Ok(words));
        }

        #[test]
        fn any_text_is_survived(text: String) {
            let _ = split(&text);
        }
    }
}
