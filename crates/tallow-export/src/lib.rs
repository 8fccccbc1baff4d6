//! Checkpoints in timm's layout, weights of other formats, ONNX files, quantisation to 8 bits, pruning.
//!
//! - [`save`] and [`open`]: a model as a folder with `model.safetensors` and `config.json`, written and read
//!   ([`read_config`] and [`load_weights`] read one of the two).
//! - [`StateDict::read`] and [`load_pretrained`]: the weights of any file, loaded into a model that may have other classes,
//!   channels or input sizes. [`Hub::model`] downloads weights of a repository on the Hugging Face Hub.
//! - [`Pretrained::find`]: weights by a specification: a file, a folder, `hf:OWNER/REPO`, or timm's `MODEL.TAG`.
//! - [`save_onnx`]: a model as an ONNX file for other runtimes, with an [`Int8`] in 8 bits. [`save_graph`]: any traced function
//!   of images, such as an ensemble.
//! - [`prune`]: filters set to zero, which an ONNX file leaves out.
//!
//! Names are timm's: `timm.create_model("local-dir:FOLDER", pretrained=True)` loads what [`save`] wrote, for every
//! architecture that timm has. The preprocessing in `config.json` and in ONNX files is a
//! [`Preprocessing`](tallow_augment::Preprocessing).
//!
//! | module | holds |
//! |---|---|
//! | `read` | weights from files and the Hub |
//! | `names` | names of torchvision, Transformers and wrappers made timm's |
//! | `pretrained` | weights found by a specification |
//! | `timm` | the checkpoint's folder, `config.json`, loading with adaptation, LoRA |
//! | `onnx` | the graph in ONNX's operators |
//! | `int8` | ranges and rounding of 8-bit values |
//! | `prune` | filters that can be left out |

mod error;
mod excerpt;
mod graph;
mod int8;
mod names;
mod onnx;
mod pretrained;
mod prune;
mod read;
mod timm;

pub use error::{Error, Result};
pub use int8::Int8;
pub use names::Matching;
pub use onnx::{OPSET, save_graph, save_onnx};
pub use pretrained::{InferenceOptions, Pretrained, PretrainedModel};
pub use prune::{Pruned, prune};
pub use read::{Format, Hub, ModelFiles, StateDict};
pub use timm::{
    CONFIG_FILE, CheckpointInfo, LoadOptions, LoadReport, PretrainedReport, WEIGHTS_FILE, load_pretrained,
    load_weights, open, preset_preprocessing, read_config, save, save_state, with_num_batches_tracked,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
