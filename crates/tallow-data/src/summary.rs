//! Statistics of a dataset: counts, image sizes, class balance, and the mean and standard deviation for normalisation.

use std::fmt;

use image::DynamicImage;
use rayon::iter::{IntoParallelIterator as _, ParallelBridge as _, ParallelIterator as _};
use serde::{Deserialize, Serialize};
use tallow_augment::{Image8, Normalization};

use crate::dataset::{Dataset, class_counts};
use crate::error::{Error, Result};
use crate::names::shortened;
use crate::on_corrupt::OnCorrupt;
use crate::stream::StreamSample;

/// The number of images that cannot be read which the printed summary lists.
const LISTED: usize = 20;

/// Statistics of a dataset, computed by [`summary`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The number of samples.
    pub images: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// The class names.
    pub class_names: Vec<String>,
    /// The number of samples of each class.
    pub class_counts: Vec<usize>,
    /// The smallest and the largest height, in pixels.
    pub height: (usize, usize),
    /// The smallest and the largest width, in pixels.
    pub width: (usize, usize),
    /// Mean and standard deviation of each channel over all pixels of all images, in units of pixel / 255. A constant
    /// channel has a standard deviation of 1, as in scikit-learn's `StandardScaler`.
    pub normalization: Normalization,
    /// The ids of images that could not be read.
    pub skipped: Vec<String>,
    /// Why each of them could not be read.
    pub problems: Vec<String>,
}

/// Decodes all images in parallel and computes their statistics. The result does not depend on the number of threads:
/// the sums are integers.
///
/// # Errors
/// There is no readable image; an image cannot be read and `on_corrupt` is not [`OnCorrupt::Skip`].
pub fn summary(dataset: &dyn Dataset, on_corrupt: OnCorrupt) -> Result<Summary> {
    let totals = totals(dataset, |error| error.is_corrupt_sample() && on_corrupt == OnCorrupt::Skip)?;
    totals.checked()?;
    Ok(Summary::of(dataset, totals))
}

/// As [`summary`], but stops at nothing: every image that cannot be read, or not be used, is listed. Without a readable
/// image, sizes are 0, means 0 and deviations 1.
///
/// # Errors
/// None today; a dataset may have errors of its own.
pub fn describe(dataset: &dyn Dataset) -> Result<Summary> {
    Ok(Summary::of(dataset, totals(dataset, |_| true)?))
}

/// The sums over all images; those with an error that `lists` are listed.
fn totals(dataset: &dyn Dataset, lists: impl Fn(&Error) -> bool + Sync) -> Result<Totals> {
    let of = |index| match totals_of(dataset, index) {
        Err(error) if lists(&error) => {
            let (skipped, problems) = (vec![dataset.id(index)], vec![error.to_string()]);
            Ok(Totals { skipped, problems, ..Totals::default() })
        }
        other => other,
    };
    (0..dataset.len()).into_par_iter().map(of).try_reduce(Totals::default, |a, b| Ok(a.plus(b)))
}

impl Summary {
    fn of(dataset: &dyn Dataset, totals: Totals) -> Self {
        let channels = dataset.channels();
        Self {
            images: dataset.len(),
            channels,
            class_names: dataset.class_names().to_vec(),
            class_counts: class_counts(dataset),
            height: totals.height.unwrap_or_default(),
            width: totals.width.unwrap_or_default(),
            normalization: match totals.pixels {
                0 => Normalization::identity(channels),
                _ => totals.normalization(channels),
            },
            skipped: totals.skipped,
            problems: totals.problems,
        }
    }
}

/// Mean and standard deviation of each channel, in units of pixel / 255. Measure the training split.
///
/// # Errors
/// As [`summary`].
pub fn measure(dataset: &dyn Dataset, on_corrupt: OnCorrupt) -> Result<Normalization> {
    summary(dataset, on_corrupt).map(|summary| summary.normalization)
}

/// As [`measure`], for the samples of a stream, which are RGB.
pub(crate) fn measure_stream(
    samples: impl Iterator<Item = Result<StreamSample>> + Send,
    on_corrupt: OnCorrupt,
) -> Result<Normalization> {
    const RGB: usize = 3;
    let totals_of = |sample: Result<StreamSample>| {
        let sample = sample?;
        match sample.image().and_then(|image| totals_of_image(image, RGB, || sample.id.clone())) {
            Err(error) if error.is_corrupt_sample() && on_corrupt == OnCorrupt::Skip => Ok(Totals::default()),
            other => other,
        }
    };
    let totals = samples.par_bridge().map(totals_of).try_reduce(Totals::default, |a, b| Ok(a.plus(b)))?;
    totals.checked()?;
    Ok(totals.normalization(RGB))
}

/// Sums over images. The sum of squares of a channel overflows after 2^47 pixels.
#[derive(Default)]
struct Totals {
    pixels: u64,
    sums: [u64; 3],
    squares: [u64; 3],
    height: Option<(usize, usize)>,
    width: Option<(usize, usize)>,
    skipped: Vec<String>,
    problems: Vec<String>,
}

fn totals_of(dataset: &dyn Dataset, index: usize) -> Result<Totals> {
    totals_of_image(dataset.image(index)?, dataset.channels(), || dataset.id(index))
}

fn totals_of_image(image: DynamicImage, channels: usize, id: impl Fn() -> String) -> Result<Totals> {
    let image = Image8::from_dynamic(image, channels).map_err(|source| Error::Augment { id: id(), source })?;
    let mut totals = Totals {
        pixels: (image.height() * image.width()) as u64,
        height: Some((image.height(), image.height())),
        width: Some((image.width(), image.width())),
        ..Totals::default()
    };
    for pixel in image.data().chunks_exact(channels) {
        for (channel, value) in pixel.iter().enumerate() {
            let value = u64::from(*value);
            totals.sums[channel] += value;
            totals.squares[channel] += value * value;
        }
    }
    Ok(totals)
}

impl Totals {
    fn checked(&self) -> Result<()> {
        if self.pixels > 0 {
            return Ok(());
        }
        let (field, expected, found) = ("number of readable images", "at least 1".into(), "0".into());
        Err(Error::Option { field, expected, found })
    }

    fn plus(mut self, other: Self) -> Self {
        let range = |a: Option<(usize, usize)>, b: Option<(usize, usize)>| match (a, b) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        self.pixels += other.pixels;
        for channel in 0..3 {
            self.sums[channel] += other.sums[channel];
            self.squares[channel] += other.squares[channel];
        }
        self.height = range(self.height, other.height);
        self.width = range(self.width, other.width);
        self.skipped.extend(other.skipped);
        self.problems.extend(other.problems);
        self
    }

    fn normalization(&self, channels: usize) -> Normalization {
        let n = self.pixels as f64;
        let mean = |channel: usize| self.sums[channel] as f64 / n / 255.0;
        let std = |channel: usize| {
            let mean_square = self.squares[channel] as f64 / n / (255.0 * 255.0);
            let variance = mean_square - mean(channel).powi(2);
            // Below this, the variance is the rounding error of a constant channel.
            if variance < 1e-14 { 1.0 } else { variance.sqrt() }
        };
        Normalization {
            mean: (0..channels).map(|c| mean(c) as f32).collect(),
            std: (0..channels).map(|c| std(c) as f32).collect(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |(low, high): (usize, usize)| match low == high {
            true => low.to_string(),
            false => format!("{low}–{high}"),
        };
        let list = |values: &[f32]| {
            let values: Vec<String> = values.iter().map(|v| format!("{v:.4}")).collect();
            values.join(", ")
        };
        let colours = if self.channels == 1 { "grey" } else { "RGB" };
        writeln!(
            f,
            "{} images, {} classes, {colours}, {} × {} pixels (height × width)",
            self.images,
            self.class_names.len(),
            range(self.height),
            range(self.width)
        )?;
        writeln!(f, "mean {}", list(&self.normalization.mean))?;
        writeln!(f, "std  {}", list(&self.normalization.std))?;
        let names: Vec<String> = self.class_names.iter().map(|name| shortened(name)).collect();
        let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        for (name, count) in names.iter().zip(&self.class_counts) {
            let share = 100.0 * *count as f64 / self.images.max(1) as f64;
            writeln!(f, "  {name:<widest$}  {count:>8}  {share:5.1} %")?;
        }
        if !self.skipped.is_empty() {
            writeln!(f, "{} cannot be read:", self.skipped.len())?;
            self.problems.iter().take(LISTED).try_for_each(|problem| writeln!(f, "  {problem}"))?;
            if self.problems.len() > LISTED {
                writeln!(f, "  … {} more", self.problems.len() - LISTED)?;
            }
        }
        Ok(())
    }
}
