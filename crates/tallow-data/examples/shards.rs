//! Writes a large set of shards and measures reading it: memory, time to the first batch, samples per second.
//!
//!     cargo run --release -p tallow-data --example shards -- FOLDER 1000000
//!
//! The images are 32 × 32 pixels, a thousand different JPEG files in turn; a shard has 10,000 samples.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use image::{DynamicImage, ImageFormat, RgbImage};
use tallow_data::{
    Dataset, Format, OpenOptions, Result, ShardStream, Splits, StreamConfig, WriteOptions, open, run_shuffled, write,
};

const BATCH: usize = 256;

/// Samples generated on demand.
struct Generated {
    files: Vec<Vec<u8>>,
    class_names: Vec<String>,
    len: usize,
}

impl Generated {
    fn new(len: usize) -> Self {
        let file = |number: u32| {
            let pixel = |x: u32, y: u32| image::Rgb([(x * 8 + number) as u8, (y * 8) as u8, (x * y + number) as u8]);
            let mut bytes = Cursor::new(Vec::new());
            let image = DynamicImage::from(RgbImage::from_fn(32, 32, pixel));
            image.write_to(&mut bytes, ImageFormat::Jpeg).expect("memory does not fail");
            bytes.into_inner()
        };
        Self { files: (0..1000).map(file).collect(), class_names: (0..10).map(|c| format!("class {c}")).collect(), len }
    }
}

impl Dataset for Generated {
    fn len(&self) -> usize {
        self.len
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> usize {
        index % 10
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>> {
        Ok(Some(self.files[index % self.files.len()].clone()))
    }

    fn image(&self, index: usize) -> Result<DynamicImage> {
        tallow_data::decode::decode_bytes(&self.files[index % self.files.len()], Path::new("generated"))
    }

    fn id(&self, index: usize) -> String {
        index.to_string()
    }

    fn channels(&self) -> usize {
        3
    }
}

/// The memory of this process in MB: current and peak.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "target/shards".into());
    let samples = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let to = Path::new(&folder);
    if !to.join("_info.json").exists() {
        let start = Instant::now();
        let splits = Splits::of(Arc::new(Generated::new(samples)));
        write(&splits, to, Format::Wds, &WriteOptions::default())?;
        println!("written: {samples} samples in {:.1} s", start.elapsed().as_secs_f64());
        println!("run again to measure: this process has held other memory");
        return Ok(());
    }

    // Streamed: bytes first, then decoded.
    for decode in [false, true] {
        let start = Instant::now();
        let stream = ShardStream::open(&folder, &OpenOptions::default(), StreamConfig::default())?;
        let (mut first, mut seen) = (0.0, 0);
        for sample in stream.epoch(0) {
            let sample = sample?;
            if decode {
                sample.image()?;
            }
            seen += 1;
            if seen == BATCH {
                first = start.elapsed().as_secs_f64();
            }
            if seen % 200_000 == 0 {
                println!("  {seen} samples: {} MB", memory().0);
            }
        }
        let rate = seen as f64 / start.elapsed().as_secs_f64();
        let what = if decode { "streamed and decoded" } else { "streamed" };
        println!("{what}: first batch after {first:.3} s, {rate:.0} samples/s, {} MB at most", memory().1);
    }

    // Indexed: an ordinary dataset.
    let before = memory().0;
    let start = Instant::now();
    let train = open(&folder, &OpenOptions::default())?.train;
    let seconds = start.elapsed().as_secs_f64();
    let held = (memory().0.saturating_sub(before)) as f64 * 1e6 / train.len() as f64;
    println!("indexed: {} samples in {seconds:.2} s, {held:.0} bytes a sample held", train.len());
    let runs = train.runs().unwrap_or_default();
    let order = run_shuffled(&runs, 1000, 0, 0);
    let start = Instant::now();
    let count = order.len().min(200_000);
    for index in &order[..count] {
        train.image(*index)?;
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!("indexed, read and decoded by one thread in shard order: {rate:.0} samples/s, {} MB at most", memory().1);
    Ok(())
}
