//! The integration tests of tallow-export: one binary, because each binary links every dependency again.

mod names;
mod onnx;
mod pretrained;
mod timm_folder;
mod transformers;
