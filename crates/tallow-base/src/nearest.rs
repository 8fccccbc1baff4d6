//! Finds the valid names closest to a misspelt one.

/// The number of single-letter edits between two names. Letter case and the separators `-`, `_` and space are ignored.
pub fn distance(left: &str, right: &str) -> usize {
    let letters = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
    strsim::levenshtein(&letters(left), &letters(right))
}

/// The candidate at the smallest [`distance`] from `name`; the first of several. `None` without candidates.
///
/// ```
/// use tallow_base::nearest::nearest;
/// assert_eq!(nearest("paddin", ["size", "padding", "fill"]), Some("padding"));
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates.into_iter().min_by_key(|candidate| distance(name, candidate))
}

/// The `count` candidates at the smallest [`distance`] from `name`, nearest first; equally near ones in alphabetical
/// order.
pub fn nearest_several<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let mut ranked: Vec<_> = candidates.into_iter().map(|candidate| (distance(name, candidate), candidate)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(count).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_nearest_is_suggested() {
        assert_eq!(nearest("paddin", ["size", "padding", "fill"]), Some("padding"));
        assert_eq!(nearest("resize", ["Resize", "Reside"]), Some("Resize"));
        assert_eq!(nearest("c", ["b", "a"]), Some("b"));
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn several_come_nearest_first() {
        let names = ["resnet50", "resnet18", "small_cnn"];
        assert_eq!(nearest_several("ResNet-18", names, 2), ["resnet18", "resnet50"]);
        assert_eq!(nearest_several("smalcnn", names, 1), ["small_cnn"]);
    }
}
