//! The errors of this crate: in a config, when a pipeline is built, or with an image.

use tallow_base::nearest::did_you_mean;

use crate::Size;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The errors of this crate. Errors in a config are found before any image is read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No op has this name.
    #[error("unknown op `{name}`{} Ops: {valid}", did_you_mean(nearest.as_slice()))]
    UnknownOp {
        /// The name.
        name: String,
        /// The nearest valid name, if one is spelt alike.
        nearest: Option<&'static str>,
        /// All valid names.
        valid: String,
    },
    /// The op has no such key.
    #[error("{op}: unknown key `{key}`{} Keys: {valid}", did_you_mean(nearest.as_slice()))]
    UnknownKey {
        /// The op.
        op: &'static str,
        /// The key.
        key: String,
        /// The nearest valid key, if one is spelt alike.
        nearest: Option<&'static str>,
        /// All valid keys.
        valid: String,
    },
    /// An op that is part of every pipeline.
    #[error("`{name}` is not an op: pixels are always normalised after the last 8-bit op; leave it out")]
    ImplicitOp {
        /// The name.
        name: String,
    },
    /// A key is missing, or its value has the wrong type.
    #[error("{op}: {message}")]
    Parse {
        /// The op.
        op: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A parameter is outside its range.
    #[error("{op}: `{field}` must be {expected}, found {found}")]
    BadValue {
        /// The op, or `Normalization`.
        op: &'static str,
        /// The parameter.
        field: &'static str,
        /// What is allowed.
        expected: String,
        /// The given value.
        found: String,
    },
    /// The output size of the pipeline is not constant.
    #[error(
        "the pipeline's output size is not constant ({reason}): \
         add a Resize with size = [height, width], a RandomCrop or a CenterCrop with a size"
    )]
    SizeNotConstant {
        /// The op that lets the size vary, or that no op sets it.
        reason: String,
    },
    /// An op on 8-bit pixels follows an op on normalised pixels.
    #[error(
        "op {op_index} acts on 8-bit pixels but follows one on normalised pixels (such as RandomErasing): move it before that one"
    )]
    Order {
        /// Position in the list of ops, from 0.
        op_index: usize,
    },
    /// An op of the list is invalid.
    #[error("op {op_index} (counted from 0): {source}")]
    AtOp {
        /// Position in the list of ops, from 0.
        op_index: usize,
        /// The op's error.
        source: Box<Error>,
    },
    /// The number of channels is neither 1 nor 3.
    #[error(
        "a pipeline has 1 channel (grey) or 3 (RGB), found {found}: see `in_chans` of the model, or the values of `mean`"
    )]
    Channels {
        /// The number of channels.
        found: usize,
    },
    /// An image of floats has values that are not from 0 to 1.
    #[error(
        "the image holds floats, which must be from 0 to 1; found {}: `data.bit_depth` scales values up to 2^bit_depth − 1",
        if *finite { format!("values up to {highest}") } else { "values that are not finite".to_owned() }
    )]
    FloatRange {
        /// The highest value.
        highest: f32,
        /// Whether all values are finite.
        finite: bool,
    },
    /// A crop does not fit in the image.
    #[error(
        "{op}: a crop of {crop} does not fit in an image of {image} (padding included): use a smaller size, more padding, pad_if_needed = true, or a Resize before it"
    )]
    CropTooLarge {
        /// The op.
        op: &'static str,
        /// The crop's size.
        crop: Size,
        /// The image's size, padding included.
        image: Size,
    },
    /// An image is too small, too large or too thin for an op.
    #[error("{op}: cannot make an image of {wanted} from one of {image}: sides must be from 1 to {max_side}, with at most {max_pixels} pixels", max_side = Size::MAX_SIDE, max_pixels = Size::MAX_PIXELS)]
    ImageSize {
        /// The op, or `input` for a decoded image.
        op: &'static str,
        /// The size of the output.
        wanted: Size,
        /// The actual size.
        image: Size,
    },
    /// The image does not have the input size of the pipeline, or an op returned another size than announced.
    #[error("{what}: expected an image of {expected}, found {found}")]
    UnexpectedSize {
        /// The step at which the size differs.
        what: &'static str,
        /// The expected size.
        expected: Size,
        /// The actual size.
        found: Size,
    },
    /// A buffer has the wrong length for its shape.
    #[error("the pixel buffer must hold {expected} values (height × width × channels), found {found}")]
    BufferLength {
        /// height × width × channels.
        expected: usize,
        /// The buffer's length.
        found: usize,
    },
    /// An image cannot be encoded or decoded.
    #[error("{op}: the image cannot be encoded or decoded: {message}")]
    Codec {
        /// The op.
        op: &'static str,
        /// The codec's message.
        message: String,
    },
    /// The resizer refused an image.
    #[error("resizing from {from} to {to} failed: {message}")]
    Resize {
        /// The image's size.
        from: Size,
        /// The requested size.
        to: Size,
        /// The resizer's message.
        message: String,
    },
}
