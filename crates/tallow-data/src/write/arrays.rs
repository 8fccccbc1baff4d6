//! Writes the files of CIFAR and MNIST: images of one size, one byte per label.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tallow_augment::Image8;
use tallow_base::write_atomically;

use super::format::Format;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::sources::named::CLASS_FILE;
use crate::sources::paths::Split;

/// Writes both splits and the class names.
pub(super) fn write(splits: &[(Split, &dyn Dataset)], to: &Path, format: Format) -> Result<()> {
    let find = |split| splits.iter().find(|(other, _)| *other == split).map(|(_, dataset)| *dataset);
    let (Some(train), Some(test), None) = (find(Split::Train), find(Split::Test), find(Split::Validation)) else {
        return Err(format.cannot_write(to, "it holds exactly a training and a test split"));
    };
    let most = if format == Format::Cifar { 100 } else { 256 };
    let names = train.class_names();
    if names.len() > most {
        return Err(format.cannot_write(to, format!("it holds up to {most} classes, these are {}", names.len())));
    }
    let several = [train, test].iter().any(|dataset| (0..dataset.len()).any(|i| dataset.target(i).is_some()));
    if several {
        return Err(format.cannot_write(to, "it holds one label per sample"));
    }
    match format {
        Format::Cifar => cifar(train, test, to)?,
        _ => {
            idx(train, to, "train-")?;
            idx(test, to, "t10k-")?;
        }
    }
    let path = to.join(CLASS_FILE);
    write_atomically(&path, names.join("\n") + "\n").map_err(Error::write(&path))
}

/// Writes the files of CIFAR-10 for up to 10 classes, else of CIFAR-100 with coarse label 0.
fn cifar(train: &dyn Dataset, test: &dyn Dataset, to: &Path) -> Result<()> {
    let ten = train.class_names().len() <= 10;
    let files = if ten { 5 } else { 1 };
    if train.len() < files || test.is_empty() {
        let reason = format!("it needs at least {files} training samples and one test sample");
        return Err(Format::Cifar.cannot_write(to, reason));
    }
    let write = |name: &str, dataset: &dyn Dataset, samples: std::ops::Range<usize>| {
        let mut content = Vec::with_capacity(samples.len() * 3074);
        for index in samples {
            let image = image(dataset, index, 3)?;
            if (image.height(), image.width()) != (32, 32) {
                let found = format!("{} has {} × {}", dataset.id(index), image.height(), image.width());
                return Err(Format::Cifar.cannot_write(to, format!("it holds images of 32 × 32 pixels, {found}")));
            }
            content.extend(if ten { None } else { Some(0) });
            content.push(dataset.label(index) as u8);
            (0..3).for_each(|plane| content.extend(image.data().iter().skip(plane).step_by(3)));
        }
        let path = to.join(name);
        write_atomically(&path, &content).map_err(Error::write(&path))
    };
    if !ten {
        write("train.bin", train, 0..train.len())?;
        return write("test.bin", test, 0..test.len());
    }
    for file in 0..files {
        let samples = file * train.len() / files..(file + 1) * train.len() / files;
        write(&format!("data_batch_{}.bin", file + 1), train, samples)?;
    }
    write("test_batch.bin", test, 0..test.len())
}

fn idx(dataset: &dyn Dataset, to: &Path, prefix: &str) -> Result<()> {
    let mut pixels = Vec::new();
    let mut size = None;
    for index in 0..dataset.len() {
        let decoded = dataset.image(index)?;
        if decoded.color().has_color() {
            let image = decoded.to_rgb8();
            if image.pixels().any(|pixel| pixel.0[0] != pixel.0[1] || pixel.0[1] != pixel.0[2]) {
                let reason = format!("it holds grey images, {} has colours", dataset.id(index));
                return Err(Format::Idx.cannot_write(to, reason));
            }
        }
        let image = image(dataset, index, 1)?;
        let found = (image.height(), image.width());
        let (height, width) = *size.get_or_insert(found);
        if found != (height, width) {
            let found = format!("{} has {} × {}", dataset.id(index), found.0, found.1);
            let reason = format!("it holds images of one size, the first has {height} × {width}, {found}");
            return Err(Format::Idx.cannot_write(to, reason));
        }
        pixels.extend_from_slice(image.data());
    }
    let (height, width) = size.ok_or_else(|| Format::Idx.cannot_write(to, "there are no images"))?;
    let labels: Vec<u8> = (0..dataset.len()).map(|index| dataset.label(index) as u8).collect();
    write_idx(&to.join(format!("{prefix}images-idx3-ubyte.gz")), &[dataset.len(), height, width], &pixels)?;
    write_idx(&to.join(format!("{prefix}labels-idx1-ubyte.gz")), &[dataset.len()], &labels)
}

fn write_idx(path: &Path, dims: &[usize], data: &[u8]) -> Result<()> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    let mut header = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|dim| header.extend((*dim as u32).to_be_bytes()));
    packed.write_all(&header).and_then(|()| packed.write_all(data)).map_err(Error::write(path))?;
    let packed = packed.finish().map_err(Error::write(path))?;
    write_atomically(path, &packed).map_err(Error::write(path))
}

fn image(dataset: &dyn Dataset, index: usize, channels: usize) -> Result<Image8> {
    Image8::from_dynamic(dataset.image(index)?, channels)
        .map_err(|source| Error::Augment { id: dataset.id(index), source })
}
