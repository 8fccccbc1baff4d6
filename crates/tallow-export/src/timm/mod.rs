//! Checkpoints in timm's layout: the folder, its `config.json`, and weights loaded into a model.

pub(crate) mod adapt;
mod config_json;
mod finite;
mod folder;
mod info;
mod load;
mod lora;
mod report;
mod transformers;
mod weights;

pub use config_json::{CONFIG_FILE, read_config};
pub use folder::{WEIGHTS_FILE, open, save, save_state};
pub use info::{CheckpointInfo, preset_preprocessing};
pub use load::load_pretrained;
pub(crate) use load::{Matched, matched};
pub use report::{LoadOptions, PretrainedReport};
pub use weights::{LoadReport, load_weights, with_num_batches_tracked};
