//! IDX, the format of MNIST and similar datasets: four files, gzipped or plain, with one array of bytes each.
//!
//! # Source
//! The format: <http://yann.lecun.com/exdb/mnist/>. EMNIST stores its images transposed (column by column); they are
//! transposed back here. torchvision leaves this to the user.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::gzip::{read_bounded, read_up_to, unpacked};
use super::memory::MemoryImages;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::splits::Splits;

/// The largest height or width that is accepted; a damaged header can hold any number.
const MAX_SIDE: usize = 16_384;

/// The file names of a dataset and the format of its images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdxFormat {
    /// The prefixes of `images-idx3-ubyte` and `labels-idx1-ubyte` for the training and the test split.
    pub prefixes: [&'static str; 2],
    /// Whether images are stored column by column.
    pub transposed: bool,
    /// The label of the first class.
    pub first_label: u8,
}

impl IdxFormat {
    /// MNIST's names.
    pub const MNIST: Self = Self { prefixes: ["train-", "t10k-"], transposed: false, first_label: 0 };

    /// Whether the folder holds the training images.
    pub fn is_in(&self, folder: &Path) -> bool {
        find(folder, self.prefixes[0], "images-idx3-ubyte").is_file()
    }

    /// Reads the four files of a folder.
    pub fn read(&self, folder: &Path, class_names: Arc<[String]>) -> Result<Splits> {
        let [train, test] = self.prefixes;
        let first = Arc::new(self.read_split("train", folder, train, class_names.clone())?);
        let test = Some(Arc::new(self.read_split("test", folder, test, class_names)?) as Arc<dyn Dataset>);
        Ok(Splits { test, ..Splits::of(first) })
    }

    fn read_split(
        &self,
        split: &'static str,
        folder: &Path,
        prefix: &str,
        class_names: Arc<[String]>,
    ) -> Result<MemoryImages> {
        let open = |what| {
            let path = find(folder, prefix, what);
            let file = File::open(&path).map_err(Error::io(&path))?;
            let length = file.metadata().map_err(Error::io(&path))?.len();
            Ok((BufReader::new(file), length, path))
        };
        let (images, images_length, images_path) = open("images-idx3-ubyte")?;
        let (labels, labels_length, labels_path) = open("labels-idx1-ubyte")?;
        let images = (images, images_length, images_path.as_path());
        self.parse(split, images, (labels, labels_length, &labels_path), class_names)
    }

    /// Reads a split from an image file and a label file, given with their lengths; the paths are for messages.
    pub fn parse(
        &self,
        split: &'static str,
        (images, images_length, images_path): (impl BufRead, u64, &Path),
        (labels, labels_length, labels_path): (impl BufRead, u64, &Path),
        class_names: Arc<[String]>,
    ) -> Result<MemoryImages> {
        let ([count, height, width], mut pixels) = read_array::<3>(images, images_length, images_path)?;
        let ([label_count], mut labels) = read_array::<1>(labels, labels_length, labels_path)?;
        if label_count != count {
            return Err(Error::Format {
                path: labels_path.into(),
                expected: format!("{count} labels, as many as images in {}", images_path.display()),
                found: format!("{label_count} labels"),
            });
        }
        let (lowest, classes) = (usize::from(self.first_label), class_names.len());
        for (index, label) in labels.iter_mut().enumerate() {
            let found = usize::from(*label);
            if found < lowest || found >= lowest + classes {
                return Err(Error::LabelOutOfRange {
                    path: labels_path.into(),
                    index,
                    label: found,
                    lowest,
                    highest: lowest + classes - 1,
                });
            }
            *label -= self.first_label;
        }
        let (mut height, mut width) = (height, width);
        if self.transposed {
            for image in pixels.chunks_exact_mut(height * width) {
                transpose(image, height, width);
            }
            (height, width) = (width, height);
        }
        Ok(MemoryImages { split, class_names, height, width, channels: 1, pixels, labels })
    }
}

/// The gzipped file if it exists, else the plain one.
fn find(folder: &Path, prefix: &str, what: &str) -> PathBuf {
    let plain = folder.join(format!("{prefix}{what}"));
    let gzipped = folder.join(format!("{prefix}{what}.gz"));
    if plain.is_file() && !gzipped.is_file() { plain } else { gzipped }
}

/// Reads a file of `length` bytes with one array of bytes with `DIMS` dimensions, gzipped or not, and nothing else.
fn read_array<const DIMS: usize>(file: impl BufRead, length: u64, path: &Path) -> Result<([usize; DIMS], Vec<u8>)> {
    let mut reader = unpacked(file, length, path)?;
    let header_len = 4 + 4 * DIMS;
    let header = read_up_to(&mut reader, header_len as u64, path)?;
    if header.len() < header_len {
        return Err(Error::Size {
            path: path.into(),
            expected: format!("a header of {header_len}"),
            found: header.len() as u64,
        });
    }
    if header[..4] != [0, 0, 8, DIMS as u8] {
        return Err(Error::Format {
            path: path.into(),
            expected: format!("an IDX file of bytes in {DIMS} dimension(s): first bytes 00 00 08 {DIMS:02x}"),
            found: format!("{:02x?}", &header[..4]),
        });
    }
    let dims: [usize; DIMS] = std::array::from_fn(|d| {
        let at = 4 + 4 * d;
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize
    });
    let sides_ok = dims[1..].iter().all(|side| (1..=MAX_SIDE).contains(side));
    let len = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    let Some(len) = len.filter(|len| sides_ok && *len < isize::MAX as usize) else {
        return Err(Error::Format {
            path: path.into(),
            expected: format!("images of 1 to {MAX_SIDE} pixels a side"),
            found: format!("a header that says {dims:?}"),
        });
    };
    let size_error =
        |found: u64| Error::Size { path: path.into(), expected: format!("{} for {dims:?}", header_len + len), found };
    if (header_len + len) as u64 > reader.most {
        // The header must not make memory be taken for what the file cannot hold.
        return Err(match reader.packed {
            true => {
                let expected =
                    format!("at most {} MB in this compressed file, or the file unpacked", reader.most >> 20);
                Error::format(path, expected, format!("a header that says {dims:?}"))
            }
            false => size_error(length),
        });
    }

    // One byte more than expected detects a file that is too long, and makes gzip verify its checksum.
    let data = read_bounded(&mut reader, len as u64 + 1, path)?;
    if data.len() != len {
        return Err(size_error((header_len + data.len()) as u64));
    }
    Ok((dims, data))
}

/// Transposes an image that is stored column by column; its new size is `width` × `height`.
fn transpose(image: &mut [u8], height: usize, width: usize) {
    let source = image.to_vec();
    for (y, row) in source.chunks_exact(width).enumerate() {
        for (x, value) in row.iter().enumerate() {
            image[x * height + y] = *value;
        }
    }
}
