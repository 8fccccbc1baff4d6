//! Weights from files: safetensors, PyTorch's archives and its legacy format, torchvision's names, the Hugging Face Hub.

mod format;
mod pickle;
mod state_dict;
mod torch_file;
pub(crate) mod torchvision;

#[cfg(test)]
mod tests;

pub use format::Format;
pub use state_dict::StateDict;
pub(crate) use state_dict::{COUNTER, Entry};
pub use tallow_hub::{Hub, ModelFiles};
