//! Text of a file, made fit for a message: short, and without control characters.

/// The number of characters that a message quotes.
const SHOWN: usize = 80;

/// The start of a text that comes from a file: at most 80 characters, control characters escaped. A longer text ends in its
/// number of bytes.
pub(crate) fn excerpt(text: &str) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(SHOWN) {
        match character.is_control() {
            true => shown.extend(character.escape_debug()),
            false => shown.push(character),
        }
    }
    if characters.next().is_some() {
        shown.push_str(&format!("… ({} bytes)", text.len()));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_and_control_characters_are_shortened() {
        assert_eq!(excerpt("conv1.weight"), "conv1.weight");
        assert_eq!(excerpt("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
        assert!(excerpt(&"a".repeat(400_000)).ends_with("a… (400000 bytes)"));
    }
}
