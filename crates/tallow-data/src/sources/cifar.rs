//! CIFAR-10 and CIFAR-100 in their binary versions: the .tar.gz archive, or its files unpacked.
//!
//! # Source
//! The format: <https://www.cs.toronto.edu/~kriz/cifar.html>. A record is one label byte (CIFAR-100: the coarse one,
//! then the fine one, which is used) and 3 × 32 × 32 bytes, plane by plane.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use super::gzip::unpacked;
use super::memory::MemoryImages;
use super::tar::read_entries;
use crate::error::{Error, Result};
use crate::splits::Splits;

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// The file names and the record format of a dataset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CifarFormat {
    /// The archive's file name.
    pub archive: &'static str,
    /// The training files, in order.
    pub train: &'static [&'static str],
    /// The test file.
    pub test: &'static str,
    /// The number of label bytes before the pixels of a record; the last one is used.
    pub label_bytes: usize,
}

impl CifarFormat {
    /// CIFAR-10.
    pub const CIFAR10: Self = Self {
        archive: "cifar-10-binary.tar.gz",
        train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
        test: "test_batch.bin",
        label_bytes: 1,
    };
    /// CIFAR-100 with its fine labels.
    pub const CIFAR100: Self =
        Self { archive: "cifar-100-binary.tar.gz", train: &["train.bin"], test: "test.bin", label_bytes: 2 };

    /// Whether the folder holds the archive or the first training file.
    pub fn is_in(&self, folder: &Path) -> bool {
        self.is_unpacked_in(folder) || folder.join(self.archive).is_file()
    }

    /// Whether the folder holds the first training file.
    pub fn is_unpacked_in(&self, folder: &Path) -> bool {
        folder.join(self.train[0]).is_file()
    }

    /// Reads the unpacked files of a folder if they exist, else the archive.
    pub fn read(&self, folder: &Path, class_names: Arc<[String]>) -> Result<Splits> {
        let wanted: Vec<&'static str> = self.train.iter().copied().chain([self.test]).collect();
        let (parent, mut contents) = if self.is_unpacked_in(folder) {
            let mut contents = HashMap::new();
            for name in wanted {
                let path = folder.join(name);
                contents.insert(name, fs::read(&path).map_err(Error::io(&path))?);
            }
            (folder.to_path_buf(), contents)
        } else {
            let path = folder.join(self.archive);
            let file = File::open(&path).map_err(Error::io(&path))?;
            let length = file.metadata().map_err(Error::io(&path))?.len();
            let archive = unpacked(BufReader::new(file), length, &path)?;
            let contents = read_entries(archive, &path, &wanted)?;
            (path, contents)
        };
        let mut split = |split, names: &[&'static str]| -> Result<Arc<MemoryImages>> {
            let (mut pixels, mut labels) = (Vec::new(), Vec::new());
            for name in names {
                // Removed, so that a file's bytes are freed once its pixels are copied.
                let content = contents.remove(name).unwrap_or_default();
                let path = parent.join(name);
                self.parse(&content, &path, class_names.len(), &mut pixels, &mut labels)?;
            }
            Ok(Arc::new(MemoryImages {
                split,
                class_names: class_names.clone(),
                height: SIDE,
                width: SIDE,
                channels: 3,
                pixels,
                labels,
            }))
        };
        let train = split("train", self.train)?;
        Ok(Splits { test: Some(split("test", &[self.test])?), ..Splits::of(train) })
    }

    /// Appends the records of a file to `pixels` (planes interleaved to RGB) and `labels`.
    fn parse(
        &self,
        content: &[u8],
        path: &Path,
        classes: usize,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u8>,
    ) -> Result<()> {
        let record_len = self.label_bytes + 3 * PLANE;
        if content.is_empty() || !content.len().is_multiple_of(record_len) {
            return Err(Error::Size {
                path: path.into(),
                expected: format!("a multiple of {record_len} (a label and 32 × 32 pixels)"),
                found: content.len() as u64,
            });
        }
        for (index, record) in content.chunks_exact(record_len).enumerate() {
            let (label, planes) = record.split_at(self.label_bytes);
            let label = label[self.label_bytes - 1];
            if usize::from(label) >= classes {
                return Err(Error::LabelOutOfRange {
                    path: path.into(),
                    index,
                    label: label.into(),
                    lowest: 0,
                    highest: classes - 1,
                });
            }
            labels.push(label);
            pixels.extend((0..PLANE).flat_map(|at| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]]));
        }
        Ok(())
    }
}
