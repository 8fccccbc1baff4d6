//! What can go wrong: in a config, at build time, or with one image.

use crate::Size;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of this crate. Those about a config come before any image is read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No op has this name.
    #[error("unknown op `{name}`: did you mean `{nearest}`? Ops: {valid}")]
    UnknownOp {
        /// The name found.
        name: String,
        /// The nearest valid name.
        nearest: &'static str,
        /// All valid names.
        valid: String,
    },
    /// The op has no such key.
    #[error("{op}: unknown key `{key}`: did you mean `{nearest}`? Keys: {valid}")]
    UnknownKey {
        /// The op.
        op: &'static str,
        /// The key found.
        key: String,
        /// The nearest valid key.
        nearest: &'static str,
        /// All valid keys.
        valid: String,
    },
    /// An op that every pipeline has without naming it.
    #[error("`{name}` is not an op: pixels are always normalised behind the last 8-bit op, leave it out")]
    ImplicitOp {
        /// The name found.
        name: String,
    },
    /// A key is missing or its value is of another type.
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
        /// What the config says.
        found: String,
    },
    /// The images that leave the pipeline would not all have one size.
    #[error(
        "the pipeline's output size is not constant ({reason}): \
         add a Resize with size = [height, width], a RandomCrop or a CenterCrop with a size"
    )]
    SizeNotConstant {
        /// Which op, or the lack of one, leaves the size open.
        reason: String,
    },
    /// An op on 8-bit pixels stands behind an op on normalised pixels.
    #[error(
        "op {op_index} acts on 8-bit pixels but stands behind one on normalised pixels (such as RandomErasing): move it before that one"
    )]
    Order {
        /// Position in the list of ops, from 0.
        op_index: usize,
    },
    /// Neither 1 nor 3 channels were asked for.
    #[error("a pipeline has 1 channel (grey) or 3 (RGB), found {found}")]
    Channels {
        /// What was asked for.
        found: usize,
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
        /// The size that would be made.
        wanted: Size,
        /// The size found.
        image: Size,
    },
    /// The image is not of the input size that the pipeline was built for, or an op returned another size than it said.
    #[error("{what}: expected an image of {expected}, found {found}")]
    UnexpectedSize {
        /// Where it was noticed.
        what: &'static str,
        /// The size announced.
        expected: Size,
        /// The size found.
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
        /// What the codec says.
        message: String,
    },
    /// The resizer refused an image.
    #[error("resizing from {from} to {to} failed: {message}")]
    Resize {
        /// The image's size.
        from: Size,
        /// The size wanted.
        to: Size,
        /// What the resizer says.
        message: String,
    },
}
