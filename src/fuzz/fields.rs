//! Fields of a section, read in the plainest way from all of its lines at once.

use super::{Input, is_text, is_token, name_and_value, trim};

/// Fields by name and value, and the names of those that the policy leaves out.
#[derive(Default)]
pub(super) struct Fields<'w> {
    pub(super) kept: Vec<(&'w [u8], Vec<u8>)>,
    pub(super) dropped: Vec<&'w [u8]>,
}

/// Reads lines that were accepted as header or trailer fields, and checks each against the limits.
pub(super) fn read<'w>(input: &Input<'_>, lines: &[&'w [u8]]) -> Fields<'w> {
    let (limits, lenient) = (input.limits(), input.lenient());
    let mut fields = Fields::default();
    let mut rest = lines;
    let mut count = 0;
    while let Some((line, after)) = rest.split_first() {
        assert!(line.iter().all(|&byte| is_text(byte)), "{}", line.escape_ascii());
        let folds = after.iter().take_while(|line| matches!(line.first(), Some(b' ' | b'\t')));
        let folds = folds.count();
        assert!(folds == 0 || lenient.obsolete_folding, "a line is folded");
        let (folds, after) = after.split_at(folds);
        let (name, value) = name_and_value(line);
        let mut value = value.to_vec();
        let mut size = line.len() + 2;
        for fold in folds {
            assert!(fold.iter().all(|&byte| is_text(byte)), "{}", fold.escape_ascii());
            value.push(b' ');
            value.extend_from_slice(trim(fold));
            size += fold.len() + 2;
        }
        count += 1;
        assert!(count <= limits.fields && size <= limits.field_size);
        let name = if lenient.header_spaces { trim(name) } else { name };
        // Blanks before a name are a fold, not something to remove.
        assert!(is_token(name) && line.starts_with(name));
        if input.admits(name).expect("a refused name refuses the request") {
            fields.kept.push((name, value));
        } else {
            fields.dropped.push(name);
        }
        rest = after;
    }
    fields
}
