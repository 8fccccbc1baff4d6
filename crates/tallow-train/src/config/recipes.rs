//! The recipes that come with Tallow: readable TOML, embedded.

/// A named config to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// The name for `--recipe`.
    pub name: &'static str,
    /// Its TOML text, comments included.
    pub text: &'static str,
}

/// All embedded recipes.
pub const RECIPES: &[Recipe] = &[
    Recipe { name: "default", text: include_str!("../../recipes/default.toml") },
    Recipe { name: "fast", text: include_str!("../../recipes/fast.toml") },
];
