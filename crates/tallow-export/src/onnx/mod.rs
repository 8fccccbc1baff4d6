//! A model as an ONNX file, for other runtimes.

mod activation;
mod layers;
mod lower;
mod lowering;
mod pool;
mod proto;
mod quantized;
mod shape;
mod writer;

use std::collections::HashMap;
use std::path::Path;

use candle_core::TensorId;
use prost::Message;
use tallow_augment::Size;
use tallow_base::write_atomically;
use tallow_models::BuiltModel;
use tallow_nn::graph::{Dim, Graph};

use crate::error::{Error, Result};
use crate::graph::graph_of;
use crate::int8::Int8;
use crate::prune::shrink;
use crate::timm::CheckpointInfo;

/// The version of ONNX's operators in the files: it has LayerNormalization, and ONNX Runtime, TensorRT 8.6 and tract read it.
pub const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
/// The largest size of a protobuf message, and so of a file without external data, in bytes.
const LIMIT: usize = i32::MAX as usize;

/// Writes the model in evaluation mode to `path`, atomically. Batch norms are folded into the convolutions before them, and
/// filters that are zero ([`prune`](crate::prune)) are left out.
///
/// With `int8`, [calibrated](Int8::calibrate) on this model, weights and the values between layers are bytes, with
/// QuantizeLinear and DequantizeLinear around each layer; runtimes compute such layers in integers.
///
/// # Shapes
/// The input `images` is `[batch, channels, height, width]` in f32, of the size of `info.preprocessing` and after it; the
/// output `logits` is `[batch, classes]`; `batch` is any number. The metadata entry `config` is the content of
/// `config.json`, labels and preprocessing included.
///
/// # Errors
/// [`tallow_nn::Error::NotTraced`] for a model with operations that leave no trace; an `int8` for images of another size;
/// more than 2 GB; a file that cannot be written.
pub fn save_onnx(path: &Path, built: &BuiltModel, info: &CheckpointInfo, int8: Option<&Int8>) -> Result<()> {
    let Size { height, width } = info.preprocessing.size;
    let graph = match int8 {
        Some(int8) => int8.graph.clone(),
        None => graph_of(built, (height, width))?,
    };
    let (_, h, w) = graph.image;
    if (h, w) != (height, width) {
        let reason = format!("the ranges are those of images of {h}×{w}, the preprocessing makes {height}×{width}");
        return Err(Error::Calibration(reason));
    }
    let parameters = built.store.parameters().map(|(name, var)| (var.as_tensor().id(), name));
    let buffers = built.store.buffers().map(|(name, buffer)| (buffer.get().id(), name));
    write(path, graph, parameters.chain(buffers).collect(), info, int8)
}

/// Writes a graph of images, [traced](tallow_nn::graph::trace) from any function such as the mean of several models, to `path` as [`save_onnx`]
/// does. `names` are those of its parameters.
///
/// # Errors
/// More than 2 GB; a file that cannot be written.
pub fn save_graph(path: &Path, graph: Graph, names: HashMap<TensorId, &str>, info: &CheckpointInfo) -> Result<()> {
    write(path, graph, names, info, None)
}

fn write(
    path: &Path,
    graph: Graph,
    mut names: HashMap<TensorId, &str>,
    info: &CheckpointInfo,
    int8: Option<&Int8>,
) -> Result<()> {
    let graph = shrink(graph, &mut names)?;
    let (c, h, w) = graph.image;
    let classes = info.model.num_classes;
    let message = proto::Model {
        ir_version: IR_VERSION,
        producer_name: "tallow".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        opset_import: vec![proto::OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: vec![proto::Entry { key: "config".to_owned(), value: info.to_json().to_string() }],
        graph: Some(proto::Graph {
            name: info.architecture.clone(),
            input: vec![described(lowering::IMAGES, &[Dim::PerImage(1), Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)])],
            output: vec![described(lower::LOGITS, &[Dim::PerImage(1), Dim::Fixed(classes)])],
            ..lower::lower(&graph, &names, int8)?
        }),
    };
    if message.encoded_len() > LIMIT {
        return Err(Error::TooLarge { path: path.to_owned(), bytes: message.encoded_len() });
    }
    write_atomically(path, message.encode_to_vec()).map_err(Error::io("write", path))
}

/// An input or output of the graph.
fn described(name: &str, shape: &[Dim]) -> proto::ValueInfo {
    let dim = |dim: &Dim| proto::Dimension {
        length: Some(match dim {
            Dim::Fixed(len) => proto::Length::Value(*len as i64),
            Dim::PerImage(_) => proto::Length::Param("batch".to_owned()),
        }),
    };
    let tensor_type = proto::TensorType {
        elem_type: proto::DataType::Float.into(),
        shape: Some(proto::Shape { dim: shape.iter().map(dim).collect() }),
    };
    proto::ValueInfo { name: name.to_owned(), r#type: Some(proto::Type { tensor_type: Some(tensor_type) }) }
}
