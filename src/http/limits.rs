//! Bounds on the size of a request head and of a trailer section.

/// Bounds on a request head. Build it with [`Limits::new`], which knows what 0 means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request line in bytes, without its CRLF; `usize::MAX` for none.
    pub line: usize,
    /// Largest number of header fields, dropped ones included.
    pub fields: usize,
    /// Largest header line in bytes, with its CRLF.
    pub field_size: usize,
}

impl Limits {
    /// From the settings `limit_request_line` (0: no limit; at most 8190), `limit_request_fields`
    /// (0 and more than 32768: 32768) and `limit_request_field_size` (0: 8190).
    #[must_use]
    pub fn new(line: usize, fields: usize, field_size: usize) -> Self {
        const MAX_LINE: usize = 8190;
        const MAX_FIELDS: usize = 32_768;
        const DEFAULT_FIELD_SIZE: usize = 8190;
        Self {
            line: if line == 0 { usize::MAX } else { line.min(MAX_LINE) },
            fields: if fields == 0 { MAX_FIELDS } else { fields.min(MAX_FIELDS) },
            field_size: if field_size == 0 { DEFAULT_FIELD_SIZE } else { field_size },
        }
    }
}

impl Default for Limits {
    /// gunicorn's defaults: 4094 bytes, 100 fields, 8190 bytes.
    fn default() -> Self {
        Self::new(4094, 100, 8190)
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn zero_and_too_much_are_what_gunicorn_makes_of_them() {
        let limits = |line, fields, size| {
            let limits = Limits::new(line, fields, size);
            (limits.line, limits.fields, limits.field_size)
        };
        assert_eq!(limits(0, 0, 0), (usize::MAX, 32_768, 8190));
        assert_eq!(limits(9000, 40_000, 9000), (8190, 32_768, 9000));
        assert_eq!(limits(4094, 100, 8190), {
            let limits = Limits::default();
            (limits.line, limits.fields, limits.field_size)
        });
    }
}
