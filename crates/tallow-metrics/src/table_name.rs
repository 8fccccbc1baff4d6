//! Names that fit into a table.

use std::borrow::Cow;

/// The longest name that a table shows, in characters: a name read from a file can have any length, and a formatter
/// panics on widths above 65,535.
const LONGEST: usize = 60;

/// The name, or its beginning.
pub(crate) fn table_name(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(LONGEST) {
        Some(_) => Cow::Owned(name.chars().take(LONGEST - 1).chain(['…']).collect()),
        None => Cow::Borrowed(name),
    }
}
