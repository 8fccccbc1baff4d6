//! fashion-mnist-6k, compiled into the library (2.6 MB).

use std::path::Path;
use std::sync::Arc;

use super::idx::IdxFormat;
use super::memory::MemoryImages;
use crate::error::Result;
use crate::splits::Splits;

macro_rules! bundled {
    ($file:literal) => {{
        let bytes: &[u8] = include_bytes!(concat!("../../fashion-mnist-6k/", $file));
        (bytes, bytes.len() as u64, Path::new(concat!("fashion-mnist-6k/", $file)))
    }};
}

/// 5,000 training and 1,000 test images of Fashion-MNIST.
pub(super) fn read(class_names: Arc<[String]>) -> Result<Splits> {
    let parse = |split, images, labels| -> Result<Arc<MemoryImages>> {
        let classes = class_names.clone();
        Ok(Arc::new(IdxFormat::MNIST.parse(split, images, labels, classes)?))
    };
    let train = parse("train", bundled!("train-images-idx3-ubyte.gz"), bundled!("train-labels-idx1-ubyte.gz"))?;
    let test = parse("test", bundled!("t10k-images-idx3-ubyte.gz"), bundled!("t10k-labels-idx1-ubyte.gz"))?;
    Ok(Splits { test: Some(test), ..Splits::of(train) })
}
