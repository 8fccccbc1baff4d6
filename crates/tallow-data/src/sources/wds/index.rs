//! Indexed shards: the position of each image, found by reading the archives' headers.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::DynamicImage;
use tar::{Archive, Header};

use super::walk::{Keys, Rest, damaged, means_none, walk};
use crate::dataset::Dataset;
use crate::decode;
use crate::error::{Error, Result};
use crate::options::OpenOptions;
use crate::sources::classes::{Classes, Groups, times_of};
use crate::sources::files::stamp_of;

/// The size of a tar header in bytes.
const BLOCK: u64 = 512;

/// The position of an image; 24 bytes.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    offset: u64,
    size: u32,
    /// In a [`ShardIndex`], an index into its labels; in [`Shards`], the class.
    label: u32,
    shard: u32,
}

/// A shard's samples.
pub(super) struct ShardIndex {
    pub path: PathBuf,
    pub entries: Vec<Entry>,
    /// The distinct labels as they are written.
    pub labels: Vec<String>,
    groups: Vec<String>,
    times: Vec<String>,
    /// What the archive holds beside its samples.
    pub rest: Rest,
    /// Samples with a negative label, which stands for none.
    pub negative: usize,
}

impl ShardIndex {
    /// Reads the headers and the labels of an archive.
    pub fn read(path: &Path, keys: &Keys) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let mut archive = Archive::new(Skipping(BufReader::with_capacity(1 << 16, file)));
        let entries = archive.entries_with_seek().map_err(|error| damaged(path, &error))?;
        let mut index = Self {
            path: path.into(),
            entries: Vec::new(),
            labels: Vec::new(),
            groups: Vec::new(),
            times: Vec::new(),
            rest: Rest::default(),
            negative: 0,
        };
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let place = |entry: &mut tar::Entry<'_, _>| {
            let (offset, size) = (entry.raw_file_position(), entry.size());
            if offset + size > length {
                let found = length.saturating_sub(offset);
                return Err(Error::Size { path: path.into(), expected: size.to_string(), found });
            }
            if size > decode::MAX_FILE_BYTES {
                let reason = format!("{} has {} MB", String::from_utf8_lossy(&entry.path_bytes()), size >> 20);
                return Err(Error::TooLarge { path: path.into(), reason });
            }
            Ok((offset, size as u32))
        };
        index.rest = walk(entries, path, keys, place, |sample| {
            if means_none(&sample.label) {
                index.negative += 1;
                return Ok(true);
            }
            let label = match numbers.get(&sample.label) {
                Some(number) => *number,
                None => {
                    let number = index.labels.len() as u32;
                    index.labels.push(sample.label.clone());
                    numbers.insert(sample.label, number);
                    number
                }
            };
            let (offset, size) = sample.image;
            index.entries.push(Entry { offset, size, label, shard: 0 });
            index.groups.extend(sample.group);
            index.times.extend(sample.time);
            Ok(true)
        })?;
        Ok(index)
    }
}

/// A split of shards.
pub(super) struct Shards {
    paths: Vec<PathBuf>,
    stamps: Vec<u64>,
    entries: Vec<Entry>,
    runs: Vec<usize>,
    class_names: Arc<[String]>,
    groups: Vec<usize>,
    times: Vec<f64>,
}

impl Shards {
    /// The samples of all shards. Their labels are names or numbers of the classes `own`, which may have another order
    /// in `classes`.
    pub fn new(shards: Vec<ShardIndex>, own: &Classes, classes: &Classes, options: &OpenOptions) -> Result<Self> {
        let mut all = Self {
            paths: Vec::with_capacity(shards.len()),
            stamps: shards.iter().map(|shard| stamp_of(&shard.path)).collect(),
            entries: Vec::with_capacity(shards.iter().map(|shard| shard.entries.len()).sum()),
            runs: Vec::with_capacity(shards.len()),
            class_names: classes.names.clone(),
            groups: Vec::new(),
            times: Vec::new(),
        };
        let (mut names, mut times) = (Groups::default(), Vec::new());
        for (number, shard) in shards.into_iter().enumerate() {
            let label = |text: &String| label_of(text, own, classes, &shard.path);
            let labels = shard.labels.iter().map(label).collect::<Result<Vec<u32>>>()?;
            let placed = |entry: &Entry| Entry { label: labels[entry.label as usize], shard: number as u32, ..*entry };
            all.entries.extend(shard.entries.iter().map(placed));
            all.runs.push(shard.entries.len());
            all.groups.extend(shard.groups.iter().map(|name| names.number(name)));
            times.extend(shard.times);
            all.paths.push(shard.path);
        }
        all.times = times_of(&times).map_err(|sample| {
            let column = options.time_column.clone().unwrap_or_default();
            Error::format(&all.paths[0], format!("a time in {column} of every sample"), format!("none in {sample}"))
        })?;
        Ok(all)
    }

    fn path(&self, index: usize) -> &Path {
        &self.paths[self.entries[index].shard as usize]
    }

    fn read(&self, index: usize) -> Result<Vec<u8>> {
        let (path, entry) = (self.path(index), self.entries[index]);
        let mut bytes = vec![0; entry.size as usize];
        let file = File::open(path).map_err(Error::io(path))?;
        file.read_exact_at(&mut bytes, entry.offset).map_err(Error::io(path))?;
        Ok(bytes)
    }

    /// The image's name in its archive, read from the header before it.
    fn name(&self, index: usize) -> Option<String> {
        let mut header = [0; BLOCK as usize];
        let at = self.entries[index].offset.checked_sub(BLOCK)?;
        File::open(self.path(index)).ok()?.read_exact_at(&mut header, at).ok()?;
        Some(String::from_utf8_lossy(&Header::from_byte_slice(&header).path_bytes()).into_owned())
    }
}

/// The label that a text names: a class by name, or by number in `own`.
pub(super) fn label_of(text: &str, own: &Classes, classes: &Classes, path: &Path) -> Result<u32> {
    let number = text.parse::<i64>().ok().filter(|_| own.label(text, path).is_err());
    match number {
        Some(number) => Ok(classes.of_numbers(&[number], own, path)?[0]),
        None => classes.label(text, path),
    }
}

impl Dataset for Shards {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> usize {
        self.entries[index].label as usize
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.groups.get(index).copied()
    }

    fn time(&self, index: usize) -> Option<f64> {
        self.times.get(index).copied()
    }

    fn runs(&self) -> Option<Vec<usize>> {
        Some(self.runs.clone())
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>> {
        self.read(index).map(Some)
    }

    fn stamp(&self, index: usize) -> u64 {
        self.stamps[self.entries[index].shard as usize]
    }

    fn image(&self, index: usize) -> Result<DynamicImage> {
        decode::decode_bytes(&self.read(index)?, Path::new(&self.id(index)))
    }

    /// The shard and the image's name in it.
    fn id(&self, index: usize) -> String {
        let shard = self.path(index).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = self.name(index).unwrap_or_else(|| format!("byte {}", self.entries[index].offset));
        format!("{shard}/{name}")
    }

    /// Always RGB: images are not decoded to find out whether all are grey.
    fn channels(&self) -> usize {
        3
    }
}

/// A buffered file that, unlike `BufReader`, keeps its buffer when it seeks a short way forward.
struct Skipping(BufReader<File>);

impl Read for Skipping {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Skipping {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        match to {
            SeekFrom::Current(offset) => {
                self.0.seek_relative(offset)?;
                self.0.stream_position()
            }
            other => self.0.seek(other),
        }
    }
}
