//! Convolutional networks, one family a file.

pub(crate) mod resnet;
pub(crate) mod resnet9;
pub(crate) mod small_cnn;
pub(crate) mod wide_resnet;
