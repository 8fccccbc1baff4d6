//! Finds the valid names closest to a misspelt one.

/// The number of edits between two names: a letter more, less or other, or two exchanged. Letter case and the separators `-`,
/// `_` and space are ignored.
pub fn distance(left: &str, right: &str) -> usize {
    strsim::osa_distance(&letters(left), &letters(right))
}

fn letters(name: &str) -> String {
    name.to_lowercase().replace(['-', '_', ' '], "")
}

/// Whether `candidate` may be what `name` was meant to be: at most one edit in three letters, or one name contains the other.
pub fn is_near(name: &str, candidate: &str) -> bool {
    let (name, candidate) = (letters(name), letters(candidate));
    let contains = |long: &str, short: &str| short.chars().count() >= 4 && long.contains(short);
    let edits = (name.chars().count() / 3).max(1);
    strsim::osa_distance(&name, &candidate) <= edits || contains(&name, &candidate) || contains(&candidate, &name)
}

/// The candidate at the smallest [`distance`] from `name`, the first of several, if it [is near](is_near).
///
/// ```
/// use tallow_base::nearest::nearest;
/// assert_eq!(nearest("paddin", ["size", "padding", "fill"]), Some("padding"));
/// assert_eq!(nearest("device", ["size", "padding", "fill"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let nearest = candidates.into_iter().min_by_key(|candidate| distance(name, candidate));
    nearest.filter(|nearest| is_near(name, nearest))
}

/// Up to `count` candidates that [are near](is_near) `name`, nearest first; equally near ones in alphabetical order.
pub fn nearest_several<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let near = candidates.into_iter().filter(|candidate| is_near(name, candidate));
    let mut ranked: Vec<_> = near.map(|candidate| (distance(name, candidate), candidate)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(count).map(|(_, candidate)| candidate).collect()
}

/// The end of a message about an unknown name: `; did you mean `a` or `b`?`, or a full stop without suggestions.
pub fn did_you_mean(suggestions: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = suggestions.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    if quoted.is_empty() { ".".to_owned() } else { format!("; did you mean {}?", quoted.join(" or ")) }
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
        assert_eq!(nearest("widht", ["depth", "width"]), Some("width"));
        assert_eq!(nearest("num_workers", ["prefetch", "workers"]), Some("workers"));
        assert_eq!(nearest("device", ["metric", "patience"]), None);
    }

    #[test]
    fn several_come_nearest_first() {
        let names = ["resnet50", "resnet18", "small_cnn"];
        assert_eq!(nearest_several("ResNet-18", names, 2), ["resnet18", "resnet50"]);
        assert_eq!(nearest_several("smalcnn", names, 1), ["small_cnn"]);
        assert_eq!(nearest_several("yolo", names, 3), [""; 0]);
        assert_eq!(did_you_mean(&["a", "b"]), "; did you mean `a` or `b`?");
        assert_eq!(did_you_mean(nearest("yolo", names).as_slice()), ".");
    }
}
