//! Finds the nearest valid name to a misspelt one.

/// The candidate with the fewest edits to `name`, letter case ignored; `None` if there are no candidates.
pub(crate) fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .copied()
        .min_by_key(|candidate| strsim::levenshtein(&name.to_lowercase(), &candidate.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name() {
        assert_eq!(nearest("paddin", &["size", "padding", "fill"]), Some("padding"));
        assert_eq!(nearest("resize", &["Resize", "Reside"]), Some("Resize"));
        assert_eq!(nearest("x", &[]), None);
    }
}
