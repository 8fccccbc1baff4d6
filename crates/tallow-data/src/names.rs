//! Lists of names in sentences and tables.

/// The number of names that a sentence lists.
pub(crate) const SHOWN: usize = 10;

/// The first names of a list, and how many more there are.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let mut text = names.iter().take(SHOWN).map(|name| shortened(name.as_ref())).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(", … {} in all", names.len());
    }
    text
}

/// A name that fits into a sentence or a table: its first 60 characters.
pub(crate) fn shortened(name: &str) -> String {
    const LONGEST: usize = 60;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
