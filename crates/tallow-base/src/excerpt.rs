//! Text of a file, made fit for a message: short, and without control characters.

/// The number of characters that a message quotes.
const SHOWN: usize = 80;

/// The start of a text that comes from a file: at most 80 characters, control characters escaped. A longer text ends in its
/// number of bytes.
///
/// ```
/// assert_eq!(tallow_base::excerpt("conv1.weight"), "conv1.weight");
/// assert_eq!(tallow_base::excerpt("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
/// assert!(tallow_base::excerpt(&"a".repeat(400_000)).ends_with("a… (400000 bytes)"));
/// ```
pub fn excerpt(text: &str) -> String {
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
