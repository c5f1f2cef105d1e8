//! What may be accepted against the grammar, for clients that cannot be changed.

/// Deviations from the strict rules, all off by default. Each is a setting of gunicorn's.
///
/// Whatever is accepted this way is accepted by the slow parser alone: the fast one knows only heads
/// that need none of it.
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lenient {
    /// `permit_obsolete_folding`: a field may continue on lines that begin with a blank (RFC 9112
    /// section 5.2). The pieces, without the blanks around them, are joined by one blank.
    pub obsolete_folding: bool,
    /// `strip_header_spaces`: blanks between a field name and the colon are removed.
    pub header_spaces: bool,
    /// `permit_unconventional_http_method`: any token is a method.
    pub unconventional_method: bool,
    /// `permit_unconventional_http_version`: any `HTTP/D.D` is a version.
    pub unconventional_version: bool,
    /// `casefold_http_method`: the method is turned into upper case.
    pub casefold_method: bool,
}
