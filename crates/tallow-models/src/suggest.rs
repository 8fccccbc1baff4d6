//! Suggestions for a misspelt name.

/// The `count` candidates with the smallest edit distance to `name`, the nearest first. Letter case and the separators
/// `-` and `_` do not count.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let letters = |s: &str| s.to_lowercase().replace(['-', '_', ' '], "");
    let distance = |candidate: &str| strsim::levenshtein(&letters(name), &letters(candidate));
    let mut ranked: Vec<_> = candidates.map(|candidate| (distance(candidate), candidate)).collect();
    ranked.sort();
    ranked.into_iter().take(count).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_first() {
        let names = ["resnet50", "resnet18", "small_cnn"];
        assert_eq!(nearest("ResNet-18", names.into_iter(), 2), ["resnet18", "resnet50"]);
        assert_eq!(nearest("smalcnn", names.into_iter(), 1), ["small_cnn"]);
    }
}
