//! Images in memory through a pipeline, in parallel: the input of a model at inference.

use image::DynamicImage;
use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;
use tallow_augment::Pipeline;
use tallow_base::rng;

use crate::error::{Error, Result};

/// The normalised pixels of `images`, NHWC in one buffer: `images.len()` × [`Pipeline::output_len`] values.
///
/// Runs on the current rayon pool and starts no threads. Image `i` of a random pipeline is augmented with the generator
/// of (seed 0, epoch 0, sample `i`), as a [`Loader`](crate::Loader) with seed 0 does in its first epoch.
///
/// # Errors
/// The pipeline refuses an image; the error names the first one by its index.
///
/// ```
/// use tallow_augment::{Normalization, PipelineConfig, image::DynamicImage};
///
/// let config: PipelineConfig = serde_json::from_str(r#"[{ "op": "Resize", "size": [32, 32] }]"#)?;
/// let pipeline = config.build(3, &Normalization::imagenet())?;
/// let images = [DynamicImage::new_rgb8(64, 48), DynamicImage::new_luma8(20, 30)];
/// let pixels = tallow_data::preprocess(&images, &pipeline)?;
/// assert_eq!(pixels.len(), 2 * 32 * 32 * 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn preprocess(images: &[DynamicImage], pipeline: &Pipeline) -> Result<Vec<f32>> {
    let len = pipeline.output_len();
    let mut pixels = vec![0.0; images.len() * len];
    let apply = |(index, (out, image)): (usize, (&mut [f32], &DynamicImage))| {
        let mut rng = rng::keyed(0, 0, index as u64, rng::AUGMENT);
        // The ops change the pixels in place: each thread copies the image that it works on.
        let applied = pipeline.apply(image.clone(), &mut rng, out);
        applied.map_err(|source| Error::Augment { id: index.to_string(), source })
    };
    // Collected in order: the error is that of the first image, whatever the threads do.
    let results: Vec<Result<()>> = pixels.par_chunks_mut(len).zip(images.par_iter()).enumerate().map(apply).collect();
    results.into_iter().collect::<Result<()>>()?;
    Ok(pixels)
}
