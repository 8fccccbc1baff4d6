//! The loaders of a run's splits, and a picture of its augmented images.

use std::sync::Arc;

use image::{DynamicImage, GenericImage};
use tallow_augment::{Pipeline, rng};
use tallow_data::{Dataset, Loader, LoaderConfig, Sampler, Splits};

use crate::{Resolved, Result, RunConfig};

/// Pictures per side of [`augmented_grid`].
const GRID: usize = 8;

/// The number of training samples of each class.
pub fn class_counts(train: &dyn Dataset) -> Vec<usize> {
    let mut counts = vec![0; train.class_names().len()];
    for index in 0..train.len() {
        if let Some(count) = counts.get_mut(train.label(index)) {
            *count += 1;
        }
    }
    counts
}

/// The loader of training batches: augmented, in the order of `data.sampler`, from the index or the stream.
///
/// # Errors
/// No samples; fewer than one batch.
pub fn train_loader(resolved: &Resolved, splits: &Splits) -> Result<Loader> {
    let config = &resolved.config;
    let loader = LoaderConfig {
        batch_size: config.train.batch_size,
        drop_last: config.train.drop_last,
        sampler: config.data.sampler.clone(),
        mix: config.augment.mix.clone(),
        ..common(config)
    };
    let pipeline = resolved.train.clone();
    Ok(match &splits.stream {
        Some(stream) => Loader::streamed(stream.clone(), pipeline, loader)?,
        None => Loader::new(splits.train.clone(), pipeline, loader)?,
    })
}

/// The loader of evaluation batches: every sample once, in the dataset's order.
///
/// # Errors
/// No samples.
pub fn eval_loader(resolved: &Resolved, dataset: Arc<dyn Dataset>) -> Result<Loader> {
    let config = &resolved.config;
    let loader = LoaderConfig {
        batch_size: config.train.eval_batch_size,
        drop_last: false,
        sampler: Sampler::Sequential,
        ..common(config)
    };
    Ok(Loader::new(dataset, resolved.eval.clone(), loader)?)
}

fn common(config: &RunConfig) -> LoaderConfig {
    LoaderConfig {
        prefetch: config.data.prefetch,
        workers: config.data.workers,
        seed: config.train.seed,
        on_corrupt: config.data.on_corrupt,
        ..Default::default()
    }
}

/// The first images of a run's first epoch as the network sees them, normalisation undone: up to 8 × 8.
///
/// # Errors
/// An image that cannot be read.
pub fn augmented_grid(loader: &Loader, pipeline: &Pipeline) -> Result<DynamicImage> {
    let (height, width, channels) = pipeline.output_shape();
    let images = loader.first_images(GRID * GRID);
    let shown = images.len();
    let columns = shown.clamp(1, GRID);
    let (grid_width, grid_height) = ((columns * width) as u32, (shown.div_ceil(columns) * height) as u32);
    let mut grid = match channels {
        1 => DynamicImage::new_luma8(grid_width, grid_height),
        _ => DynamicImage::new_rgb8(grid_width, grid_height),
    };
    for (place, image) in images.into_iter().enumerate() {
        // The loader's own generator for this place in the epoch.
        let mut rng = rng::keyed(loader.config().seed, 0, place as u64, rng::AUGMENT);
        let Ok(image) = image else {
            continue;
        };
        let picture = pipeline.preview(image, &mut rng)?;
        let (left, top) = ((place % columns * width) as u32, (place / columns * height) as u32);
        // Pixels are converted to RGBA, which any 8-bit picture can be read and written as.
        for (x, y, pixel) in image::GenericImageView::pixels(&picture) {
            grid.put_pixel(left + x, top + y, pixel);
        }
    }
    Ok(grid)
}
