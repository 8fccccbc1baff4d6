//! A cache of decoded and resized images on disk.
//!
//! A cache is one file. Its name is a hash of the samples' ids, their files' modification times, the channels and the
//! size. A record is appended when a sample is first read, with a checksum; a record that a crash cut off is dropped.
//! One process at a time appends; others read the records that exist when they open the file.

use std::fs::{self, File, OpenOptions as FileOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use image::DynamicImage;
use sha2::{Digest as _, Sha256};
use tallow_augment::ops::resize;
use tallow_augment::{Image8, Interpolation, Size};

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::wrapper::DatasetWrapper;

/// The first bytes of a record, with the version of the format.
const MAGIC: u32 = u32::from_le_bytes(*b"TLC1");
/// The bytes before a record's pixels: magic, sample, height, width, checksum.
const HEADER: usize = 20;

/// Another dataset whose decoded images are cached in a file.
pub struct Cached {
    dataset: Arc<dyn Dataset>,
    short_side: Option<usize>,
    path: PathBuf,
    file: File,
    /// The position and the image size of each sample's record; height 0 if there is none.
    records: Mutex<Vec<Record>>,
    /// The position of the next record; `None` if another process appends.
    end: Mutex<Option<u64>>,
    decoded: AtomicUsize,
}

#[derive(Clone, Copy, Default)]
struct Record {
    offset: u64,
    height: u32,
    width: u32,
}

impl Cached {
    /// Caches the images of `dataset` in a file in `folder`. Images with a short side of more than `short_side` pixels
    /// are resized to it. The file takes height × width × channels bytes per sample.
    ///
    /// # Errors
    /// The folder or file cannot be created, read or written; `short_side` is 0.
    pub fn new(dataset: Arc<dyn Dataset>, folder: &Path, short_side: Option<usize>) -> Result<Self> {
        if short_side == Some(0) {
            return Err(Error::Option { field: "cache_side", expected: "at least 1".into(), found: "0".into() });
        }
        fs::create_dir_all(folder).map_err(Error::write(folder))?;
        let path = folder.join(format!("{}.cache", key(dataset.as_ref(), short_side)));
        let mut options = FileOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::write(&path))?;
        let alone = file.try_lock().is_ok();
        let (records, end) = read_records(&file, dataset.len(), dataset.channels()).map_err(Error::io(&path))?;
        if alone {
            // A crash cut off what follows the last complete record.
            file.set_len(end).map_err(Error::write(&path))?;
        }
        let end = Mutex::new(alone.then_some(end));
        Ok(Self { dataset, short_side, path, file, records: Mutex::new(records), end, decoded: AtomicUsize::new(0) })
    }

    /// The cache's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of images that have been decoded since the cache was opened.
    pub fn decoded(&self) -> usize {
        self.decoded.load(Ordering::Relaxed)
    }

    /// The pixels of a sample, if its record exists and is intact.
    fn read(&self, index: usize) -> Option<Image8> {
        let record = self.records.lock().unwrap_or_else(PoisonError::into_inner)[index];
        if record.height == 0 {
            return None;
        }
        let size = Size { height: record.height as usize, width: record.width as usize };
        let mut header = [0; HEADER];
        let mut pixels = vec![0; size.height * size.width * self.dataset.channels()];
        self.file.read_exact_at(&mut header, record.offset).ok()?;
        self.file.read_exact_at(&mut pixels, record.offset + HEADER as u64).ok()?;
        let whole = word(&header, 4) == crc32c::crc32c(&pixels);
        if whole { Image8::new(size, self.dataset.channels(), pixels).ok() } else { None }
    }

    fn decode(&self, index: usize) -> Result<Image8> {
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let failed = |source| Error::Augment { id: self.dataset.id(index), source };
        let image = Image8::from_dynamic(self.dataset.image(index)?, self.dataset.channels()).map_err(failed)?;
        let (height, width) = (image.height(), image.width());
        match self.short_side {
            Some(side) if height.min(width) > side => {
                let scaled = |long: usize, short: usize| (side as u64 * long as u64 / short as u64) as usize;
                let size = match height < width {
                    true => Size { height: side, width: scaled(width, height) },
                    false => Size { height: scaled(height, width), width: side },
                };
                resize(image, size, Interpolation::default()).map_err(failed)
            }
            _ => Ok(image),
        }
    }

    /// Appends a record. If the disk is full, nothing more is cached; reading goes on.
    fn append(&self, index: usize, image: &Image8) {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(offset) = *end else { return };
        let (height, width) = (image.height() as u32, image.width() as u32);
        let words = [MAGIC, index as u32, height, width, crc32c::crc32c(image.data())];
        let mut record: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        record.extend_from_slice(image.data());
        if self.file.write_all_at(&record, offset).is_err() {
            let _ = self.file.set_len(offset);
            *end = None;
            return;
        }
        *end = Some(offset + record.len() as u64);
        self.records.lock().unwrap_or_else(PoisonError::into_inner)[index] = Record { offset, height, width };
    }
}

/// The file name: a hash of the content.
fn key(dataset: &dyn Dataset, short_side: Option<usize>) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{} {} {short_side:?}\n", dataset.len(), dataset.channels()));
    for index in 0..dataset.len() {
        hash.update(format!("{} {}\n", dataset.id(index), dataset.stamp(index)));
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The records of a file, and the end of the last complete one.
fn read_records(file: &File, samples: usize, channels: usize) -> std::io::Result<(Vec<Record>, u64)> {
    let length = file.metadata()?.len();
    let mut records = vec![Record::default(); samples];
    let mut offset = 0;
    while offset + HEADER as u64 <= length {
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, offset)?;
        let (sample, height, width) = (word(&header, 1) as usize, word(&header, 2), word(&header, 3));
        // A damaged header can hold any size.
        let pixels = (u64::from(height) * u64::from(width)).checked_mul(channels as u64).filter(|pixels| *pixels > 0);
        let next = pixels.and_then(|pixels| (offset + HEADER as u64).checked_add(pixels));
        let Some(next) = next.filter(|next| *next <= length) else { break };
        if word(&header, 0) != MAGIC || sample >= samples {
            break;
        }
        records[sample] = Record { offset, height, width };
        offset = next;
    }
    Ok((records, offset))
}

fn word(header: &[u8; HEADER], at: usize) -> u32 {
    let bytes = &header[4 * at..4 * at + 4];
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

impl DatasetWrapper for Cached {
    fn inner(&self) -> &dyn Dataset {
        self.dataset.as_ref()
    }

    fn wrapper_image(&self, index: usize) -> Result<DynamicImage> {
        if let Some(image) = self.read(index) {
            return Ok(image.into_dynamic());
        }
        let image = self.decode(index)?;
        self.append(index, &image);
        Ok(image.into_dynamic())
    }
}
