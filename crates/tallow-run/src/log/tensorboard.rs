//! TensorBoard event files: scalars, images, text and histograms.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use image::{DynamicImage, codecs::png::PngEncoder};
use prost::Message;

use super::event::{
    DataClass, DataType, Event, Histogram, Image, Kind, PluginData, SessionLog, SessionStatus, Summary,
    SummaryMetadata, Tensor, TensorShape, Value, What,
};
use super::{Error, Result};

const PREFIX: &str = "events.out.tfevents.";

/// Writes one event file, `events.out.tfevents.<unix time>.<host>.<process>`, into a run's folder.
///
/// A folder may have several: TensorBoard reads them in the order of their names and shows them as one run. A resumed run
/// opens a new file with a later time, whose first event invalidates later steps of earlier files.
///
/// Values are buffered: [`flush`](Self::flush) makes them visible, and so does dropping the writer.
///
/// # Source
///
/// The record format of TFRecord: length (u64, little-endian), its masked CRC-32C, the data, its masked CRC-32C.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Opens a new event file in `dir`, which is created if missing.
    ///
    /// # Errors
    ///
    /// The folder or the file cannot be created or written.
    pub fn create(dir: &Path) -> Result<Self> {
        Self::open(dir, 0)
    }

    /// Opens a new event file for a run that continues at `step`: TensorBoard no longer shows the events of earlier files in
    /// `dir` at this step and later.
    ///
    /// # Errors
    ///
    /// The folder or the file cannot be created or written.
    pub fn resume(dir: &Path, step: u64) -> Result<Self> {
        Self::open(dir, step)
    }

    fn open(dir: &Path, step: u64) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|source| Error::Open { path: dir.to_owned(), source })?;
        let (path, file) = new_file(dir)?;
        let mut writer = Self { path, file: BufWriter::new(file) };
        writer.write(0, What::FileVersion("brain.Event:2".to_owned()))?;
        // TensorBoard drops later steps at every start but the first that it meets: the first file needs one too.
        writer.write(step, What::SessionLog(SessionLog { status: SessionStatus::Start.into() }))?;
        writer.flush()?;
        Ok(writer)
    }

    /// The file being written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A number, stored as f32. NaN and infinity are stored as they are.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        self.value(tag, step, None, Kind::SimpleValue(value as f32))
    }

    /// A picture, stored as PNG with 8 bits per channel.
    ///
    /// # Errors
    ///
    /// The image cannot be encoded (it has no pixels), or the file cannot be written.
    pub fn image(&mut self, tag: &str, step: u64, image: &DynamicImage) -> Result<()> {
        let eight_bits: DynamicImage = match image.color().channel_count() {
            1 => image.to_luma8().into(),
            2 => image.to_luma_alpha8().into(),
            3 => image.to_rgb8().into(),
            _ => image.to_rgba8().into(),
        };
        let (width, height) = (image.width(), image.height());
        let mut png = Vec::new();
        eight_bits.write_with_encoder(PngEncoder::new(&mut png)).map_err(|source| Error::Image {
            tag: tag.to_owned(),
            width,
            height,
            source,
        })?;
        let image = Image {
            height: height.try_into().unwrap_or(i32::MAX),
            width: width.try_into().unwrap_or(i32::MAX),
            colorspace: eight_bits.color().channel_count().into(),
            encoded_image_string: png,
        };
        self.value(tag, step, None, Kind::Image(image))
    }

    /// A text, shown as Markdown.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn text(&mut self, tag: &str, step: u64, text: &str) -> Result<()> {
        let metadata = SummaryMetadata {
            plugin_data: Some(PluginData { plugin_name: "text".to_owned() }),
            data_class: DataClass::Tensor.into(),
        };
        let tensor = Tensor {
            dtype: DataType::String.into(),
            tensor_shape: Some(TensorShape {}),
            string_val: vec![text.as_bytes().to_vec()],
        };
        self.value(tag, step, Some(metadata), Kind::Tensor(tensor))
    }

    /// The distribution of `values`, in 30 buckets of equal width from their minimum to their maximum. NaN and
    /// infinite values are left out.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn histogram(&mut self, tag: &str, step: u64, values: &[f32]) -> Result<()> {
        self.value(tag, step, None, Kind::Histogram(histogram(values)))
    }

    /// Flushes the buffer to the operating system.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    fn value(&mut self, tag: &str, step: u64, metadata: Option<SummaryMetadata>, kind: Kind) -> Result<()> {
        let value = Value { tag: tag.to_owned(), metadata, kind: Some(kind) };
        self.write(step, What::Summary(Summary { value: vec![value] }))
    }

    fn write(&mut self, step: u64, what: What) -> Result<()> {
        let step = step.try_into().unwrap_or(i64::MAX);
        let event = Event { wall_time: unix_time(), step, what: Some(what) };
        let record = record(&event.encode_to_vec());
        self.file.write_all(&record).map_err(|source| Error::Write { path: self.path.clone(), source })
    }
}

/// A TFRecord: the length, its checksum, the data, its checksum.
pub(super) fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let parts: [&[u8]; 4] = [&length, &masked_crc(&length), data, &masked_crc(data)];
    parts.concat()
}

/// The masked CRC-32C of TFRecord: data that contain checksums do not confuse it.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn histogram(values: &[f32]) -> Histogram {
    const BUCKETS: usize = 30;
    let finite = || values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value));
    let num = finite().count() as f64;
    if num == 0.0 {
        return Histogram { bucket_limit: vec![0.0], bucket: vec![0.0], ..Histogram::default() };
    }
    let (min, max) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let buckets = if min < max { BUCKETS } else { 1 };
    let width = (max - min) / buckets as f64;
    let mut bucket = vec![0.0; buckets];
    for value in finite() {
        // Equal values give 0 / 0, which becomes bucket 0.
        let at = ((value - min) / width) as usize;
        bucket[at.min(buckets - 1)] += 1.0;
    }
    let mut bucket_limit: Vec<f64> = (1..=buckets).map(|i| min + width * i as f64).collect();
    bucket_limit[buckets - 1] = max;
    let (sum, sum_squares) = (finite().sum(), finite().map(|value| value * value).sum());
    Histogram { min, max, num, sum, sum_squares, bucket_limit, bucket }
}

/// A file whose name sorts after all event files in `dir`, even if the clock was set back or two runs start within one second:
/// TensorBoard reads the files in the order of their names.
fn new_file(dir: &Path) -> Result<(PathBuf, File)> {
    let entries = fs::read_dir(dir).map_err(|source| Error::Open { path: dir.to_owned(), source })?;
    let times = entries.filter_map(|entry| time_of(entry.ok()?.file_name().to_str()?));
    let mut time = times.max().map_or(0, |last| last + 1).max(unix_time() as u64);
    let (host, process) = (host(), std::process::id());
    loop {
        let path = dir.join(format!("{PREFIX}{time:010}.{host}.{process}"));
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => time += 1,
            Err(source) => return Err(Error::Open { path, source }),
        }
    }
}

/// The time in the name of an event file; `None` if it does not have ten digits.
fn time_of(name: &str) -> Option<u64> {
    let time = name.strip_prefix(PREFIX)?.split('.').next()?;
    if time.len() == 10 { time.parse().ok() } else { None }
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.unwrap_or_default();
    let name: String =
        name.trim().chars().map(|c| if c.is_alphanumeric() || "-.".contains(c) { c } else { '-' }).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
