//! A model as an ONNX file, for other runtimes.

mod activation;
mod lower;
mod proto;
mod quantized;
mod writer;

use std::collections::HashMap;
use std::path::Path;

use candle_core::TensorId;
use prost::Message;
use tallow_augment::Size;
use tallow_models::Built;
use tallow_nn::Mode;
use tallow_nn::graph::{Dim, Graph, trace};

use crate::atomic::write_atomically;
use crate::config::CheckpointInfo;
use crate::error::{Error, Result};
use crate::int8::Int8;
use crate::prune::shrink;

/// The version of ONNX's operators that is written: it has LayerNormalization, and ONNX Runtime, TensorRT 8.6 and tract read it.
pub const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
/// What a protobuf message, and with it a file without external data, can hold.
const LIMIT: usize = i32::MAX as usize;

/// Writes the model as it evaluates to `path`, atomically. Batch norms are folded into the convolutions before them, and
/// filters that are zero ([`prune`](crate::prune)) left out.
///
/// Its input `images`, `[batch, channels, height, width]` in f32, takes pixels after preprocessing; its output `logits` is `[batch,
/// classes]`; `batch` is any number, height and width are those of `info.preprocessing`. The metadata `config` is what `config.json` says: labels and preprocessing.
///
/// With `int8`, [calibrated](Int8::calibrate) on this model, weights and what lies between layers are bytes, with QuantizeLinear and
/// DequantizeLinear around each layer, which runtimes compute in integers.
///
/// # Errors
/// [`tallow_nn::Error::NotTraced`] for a model of your own with operations that leave no trace; more than 2 GB; a file that
/// cannot be written.
pub fn save_onnx(path: &Path, built: &Built, info: &CheckpointInfo, int8: Option<&Int8>) -> Result<()> {
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

/// The same of any function of images that was [traced](trace), such as several models' mean; `names` are those of its parameters.
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
            input: vec![described(lower::IMAGES, &[Dim::PerImage(1), Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)])],
            output: vec![described(lower::LOGITS, &[Dim::PerImage(1), Dim::Fixed(classes)])],
            ..lower::lower(&graph, &names, int8)?
        }),
    };
    if message.encoded_len() > LIMIT {
        return Err(Error::TooLarge { path: path.to_owned(), bytes: message.encoded_len() });
    }
    write_atomically(path, &message.encode_to_vec())
}

/// What the model computes in evaluation of images of the size `(h, w)`.
pub(crate) fn graph_of(built: &Built, (h, w): (usize, usize)) -> Result<Graph> {
    let image = (built.info.config.in_chans, h, w);
    Ok(trace(image, |images| built.model.forward(images, &Mode::eval()))?)
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
