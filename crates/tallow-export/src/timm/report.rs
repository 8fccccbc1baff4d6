//! The options of loading pretrained weights, and its report.

use std::fmt;
use std::path::PathBuf;

use crate::excerpt::excerpt;

use crate::names::Matching;
use crate::read::Format;

/// Differences between a file and a model that [`load_pretrained`](super::load_pretrained) accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether tensors are matched by their order in the file instead of their names: for a file with other names whose
    /// shapes agree one by one.
    pub by_order: bool,
    /// Whether tensors that are missing, unexpected or of another shape are reported instead of being an error.
    pub allow_mismatch: bool,
    /// Whether another number of input channels is an error, instead of a reason to adapt the first convolution: for
    /// inference, where the file decides.
    pub keep_channels: bool,
}

/// The result of [`load_pretrained`](super::load_pretrained). Names are the model's, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PretrainedReport {
    /// The file.
    pub path: PathBuf,
    /// The file's format.
    pub format: Format,
    /// The key of the training checkpoint that held the weights: `state_dict_ema`.
    pub key: Option<String>,
    /// How tensors were matched.
    pub matching: Matching,
    /// The modules around the network in the file, which its names begin with: `model.`; empty if there are none.
    pub prefix: String,
    /// Classifiers of another name: the file's name, and the model's.
    pub renamed: Vec<(String, String)>,
    /// Names in the file outside the network (a loss, a metric, a pooler): they are ignored.
    pub outside: Vec<String>,
    /// Tensors that were loaded unchanged.
    pub loaded: Vec<String>,
    /// Tensors that were adapted: the name, and a description of the change.
    pub adapted: Vec<(String, String)>,
    /// The classifier of a model with other classes, and LoRA weights: they keep their initial values.
    pub fresh: Vec<String>,
    /// Tensors that only the model has: they keep their initial values.
    pub missing: Vec<String>,
    /// Tensors that only the file has: they are ignored.
    pub unexpected: Vec<String>,
    /// Tensors of a shape that cannot be adapted: they keep their initial values.
    pub mismatched: Vec<String>,
}

impl PretrainedReport {
    /// Whether every tensor of the model, its classifier included, comes from the file.
    pub fn is_complete(&self) -> bool {
        self.fresh.is_empty() && self.missing.is_empty() && self.mismatched.is_empty()
    }
}

impl fmt::Display for PretrainedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.loaded.len() + self.adapted.len();
        write!(f, "loaded {total} tensors from {} ({}", self.path.display(), self.format)?;
        if let Some(key) = &self.key {
            write!(f, ", {key}")?;
        }
        match self.matching {
            Matching::Names => {}
            Matching::Torchvision => write!(f, ", torchvision's names")?,
            Matching::Transformers => write!(f, ", Transformers' names")?,
            Matching::Order => write!(f, ", matched by order")?,
        }
        if !self.prefix.is_empty() {
            write!(f, ", under `{}`", excerpt(&self.prefix))?;
        }
        write!(f, ")")?;
        for (theirs, own) in &self.renamed {
            write!(f, "\n  renamed     {}: {own}", excerpt(theirs))?;
        }
        for (name, how) in &self.adapted {
            write!(f, "\n  adapted     {name}: {how}")?;
        }
        let lists = [
            ("fresh", &self.fresh),
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("mismatched", &self.mismatched),
            ("left out", &self.outside),
        ];
        for (what, names) in lists {
            if !names.is_empty() {
                let names: Vec<String> = names.iter().map(|name| excerpt(name)).collect();
                write!(f, "\n  {what:<11} {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}
