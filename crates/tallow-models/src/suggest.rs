//! Finds the valid names nearest to a misspelt one.

/// The `count` candidates with the fewest edits to `name`, nearest first.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let mut ranked: Vec<_> = candidates.map(|candidate| (edit_distance(name, candidate), candidate)).collect();
    ranked.sort();
    ranked.into_iter().take(count).map(|(_, candidate)| candidate).collect()
}

/// Levenshtein distance, letter case and the separators `-` and `_` ignored.
fn edit_distance(a: &str, b: &str) -> usize {
    let letters = |s: &str| -> Vec<char> { s.to_lowercase().chars().filter(|c| !"-_ ".contains(*c)).collect() };
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(letter != other);
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
    fn nearest_first() {
        let names = ["resnet50", "resnet18", "small_cnn"];
        assert_eq!(nearest("ResNet-18", names.into_iter(), 2), ["resnet18", "resnet50"]);
        assert_eq!(nearest("smalcnn", names.into_iter(), 1), ["small_cnn"]);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
