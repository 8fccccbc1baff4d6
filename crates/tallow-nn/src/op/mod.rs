//! Differentiable operations on tensors: what layers are made of.
//!
//! Each operation is one file: it checks shapes, runs the kernel of the tensors' device ([`on_cpu`]), records its
//! backward on the [tape](crate::tape) and its step in the [graph](crate::graph). The kernels are those of
//! [`tallow_kernels`]. Results do not depend on the number of threads.
//!
//! Tensors are f32. A batch of images has the shape `[n, c, h, w]`, and its values lie as `[n, h, w, c]`, PyTorch's
//! `channels_last`. Other strides are accepted and copied first.
//!
//! The operations under "arithmetic" and "shapes" are Candle's own, noted in the graph. Candle's engine differentiates
//! them.
//!
//! | | |
//! |---|---|
//! | products | [`conv2d`], [`conv2d_folded`], [`linear`], [`matmul_no_grad`], [`attention`], [`attention_qkv`] |
//! | normalisation | [`batch_norm_train`], [`batch_norm_eval`], [`layer_norm`] |
//! | pooling | [`max_pool2d`], [`avg_pool2d`], [`global_avg_pool`], [`global_max_pool`] |
//! | elementwise | [`activate`], [`add_activate`], [`add_gradients`], [`scale_channels`], [`scale_last`], [`dropout`], [`drop_path`] |
//! | probabilities | [`softmax`], [`cross_entropy`] |
//! | tokens | [`tokens`], [`image`], [`add_positions`], [`concat_tokens`], [`select_token`] |
//! | 8 bits | [`fake_quantize`], [`range`] |
//! | arithmetic | [`add`], [`subtract`], [`multiply`], [`divide`], [`affine`], [`square`], [`sqrt`], [`log`], [`mean_last`], [`matmul`] |
//! | shapes | [`reshape`], [`permute`], [`transpose`], [`narrow`], [`select`], [`cat`], [`pad_with_zeros`], [`expand`] |

mod activate;
mod add_activate;
mod arithmetic;
mod attention;
mod batch_norm;
mod conv2d;
mod cross_entropy;
mod dispatch;
mod dropout;
mod global_pool;
mod layer_norm;
mod linear;
mod pool;
mod quantize;
mod scale;
mod shape;
mod softmax;
mod tokens;

pub use activate::activate;
pub use add_activate::{add_activate, add_gradients};
pub use arithmetic::{add, affine, divide, log, matmul, mean_last, multiply, sqrt, square, subtract};
pub use attention::{attention, attention_qkv};
pub use batch_norm::{BatchStats, batch_norm_eval, batch_norm_train};
pub use conv2d::{conv2d, conv2d_folded};
pub use cross_entropy::cross_entropy;
pub use dispatch::on_cpu;
pub(crate) use dropout::check_probability;
pub use dropout::{drop_path, dropout};
pub use global_pool::{global_avg_pool, global_max_pool};
pub use layer_norm::layer_norm;
pub use linear::{linear, matmul_no_grad};
pub use pool::{avg_pool2d, max_pool2d};
pub use quantize::{fake_quantize, range};
pub use scale::{scale_channels, scale_last};
pub use shape::{cat, expand, narrow, pad_with_zeros, permute, reshape, select, transpose};
pub use softmax::softmax;
pub use tallow_kernels::cpu::activation::Activation;
pub use tallow_kernels::cpu::conv2d::ConvConfig;
pub use tallow_kernels::cpu::pool::PoolConfig;
pub use tokens::{add_positions, concat_tokens, image, select_token, tokens};
