//! Finds the nearest valid name to a misspelt one.

/// The candidate with the fewest edits to `name`, letter case ignored; `None` if there are no candidates.
pub(crate) fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates.iter().copied().min_by_key(|candidate| edit_distance(name, candidate))
}

/// Levenshtein distance: insertions, deletions and substitutions that turn `a` into `b`, letter case ignored.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("Resize", "resize"), 0);
    }

    #[test]
    fn nearest_name() {
        assert_eq!(nearest("paddin", &["size", "padding", "fill"]), Some("padding"));
        assert_eq!(nearest("x", &[]), None);
    }
}
