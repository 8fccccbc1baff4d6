//! The recipes that come with Tallow: readable TOML, embedded.

/// A named config to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// The name that [`load`](super::load) takes.
    pub name: &'static str,
    /// Its TOML text, comments included.
    pub text: &'static str,
}

/// All embedded recipes.
pub const RECIPES: &[Recipe] = &[
    Recipe { name: "default", text: include_str!("../../recipes/default.toml") },
    Recipe { name: "photos", text: include_str!("../../recipes/photos.toml") },
    Recipe { name: "fast", text: include_str!("../../recipes/fast.toml") },
    Recipe { name: "strong", text: include_str!("../../recipes/strong.toml") },
    Recipe { name: "vit-small-data", text: include_str!("../../recipes/vit-small-data.toml") },
    Recipe { name: "hybrid-small-data", text: include_str!("../../recipes/hybrid-small-data.toml") },
    Recipe { name: "finetune", text: include_str!("../../recipes/finetune.toml") },
    Recipe { name: "linear-probe", text: include_str!("../../recipes/linear-probe.toml") },
    Recipe { name: "imbalanced", text: include_str!("../../recipes/imbalanced.toml") },
    Recipe { name: "noisy-labels", text: include_str!("../../recipes/noisy-labels.toml") },
    Recipe { name: "rsb-a1", text: include_str!("../../recipes/rsb-a1.toml") },
    Recipe { name: "rsb-a2", text: include_str!("../../recipes/rsb-a2.toml") },
    Recipe { name: "rsb-a3", text: include_str!("../../recipes/rsb-a3.toml") },
    Recipe { name: "torchvision", text: include_str!("../../recipes/torchvision.toml") },
];
