//! Checkpoints that timm reads, and timm's read here: `model.safetensors` and `config.json`.
//!
//! - [`save`]: a model with what it needs to be used → a folder, each file written atomically.
//! - [`open`]: such a folder → the model, ready to run. [`read_config`] and [`load_weights`] are its halves.
//! - [`StateDict::read`] and [`load_pretrained`]: weights of any file → a model for other classes, channels or sizes.
//! - [`save_onnx`]: a model as an ONNX file, for other runtimes; in 8 bits with an [`Int8`]. [`save_graph`]: what several compute together.
//! - [`prune`]: filters set to zero, which an ONNX file then leaves out.
//! - [`Hub::fetch`]: weights of a repository on the Hugging Face Hub.
//!
//! Names are timm's throughout: `timm.create_model("local-dir:FOLDER", pretrained=True)` loads what
//! [`save`] wrote, for every architecture that timm has.

mod adapt;
mod atomic;
mod checkpoint;
mod config;
mod error;
mod int8;
mod lora;
mod onnx;
mod pretrained;
mod prune;
mod read;
mod torchvision;
mod weights;

pub use atomic::write_atomically;
pub use checkpoint::{CONFIG_FILE, WEIGHTS_FILE, open, save, save_state};
pub use config::{CheckpointInfo, Preprocessing, read_config};
pub use error::{Error, Result};
pub use int8::Int8;
pub use onnx::{OPSET, save_graph, save_onnx};
pub use pretrained::{LoadOptions, Matching, PretrainedReport, load_pretrained};
pub use prune::{Pruned, prune};
pub use read::{Format, StateDict};
pub use tallow_hub::{Hub, ModelFiles};
pub use weights::{LoadReport, load_weights, with_num_batches_tracked};
