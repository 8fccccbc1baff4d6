//! The graph of a model in evaluation mode.

use tallow_models::BuiltModel;
use tallow_nn::Mode;
use tallow_nn::graph::{Graph, trace};

use crate::error::Result;

/// Traces the model in evaluation mode, for images of the size `(h, w)`.
pub(crate) fn graph_of(built: &BuiltModel, (h, w): (usize, usize)) -> Result<Graph> {
    let image = (built.info.config.in_chans, h, w);
    Ok(trace(image, |images| built.model.forward(images, &Mode::eval()))?)
}
