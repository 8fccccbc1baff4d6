//! Weights from files: safetensors, alone or in shards, PyTorch's archives and its legacy format, the Hugging Face Hub.

mod containers;
mod entry;
mod file;
mod format;
mod pickle;
mod shards;
mod state_dict;
mod torch_file;

#[cfg(test)]
mod tests;

pub(crate) use entry::{Entry, Stored};
pub use format::Format;
pub(crate) use shards::{INDEX_SUFFIX, index_beside};
pub(crate) use state_dict::COUNTER;
pub use state_dict::StateDict;
pub use tallow_hub::{Hub, ModelFiles};
