//! Mixup and CutMix: the images of a batch are mixed, and their targets with them.
//!
//! A [`MixConfig`] draws a [`RowMix`] for every row; [`mix_pixels`] and [`mix_rows`] apply it.
//!
//! ```
//! use tallow_augment::batch::{MixConfig, mix_pixels, mix_rows};
//! use tallow_augment::{Size, rng};
//!
//! let config = MixConfig { mixup_alpha: 0.8, ..MixConfig::default() };
//! config.validate()?;
//! let (n, size, channels, classes) = (2, Size { height: 4, width: 4 }, 3, 10);
//! let mut pixels = vec![0.5; n * size.pixels() * channels];
//! let mut targets = vec![0.0; n * classes];
//! (targets[3], targets[classes + 7]) = (1.0, 1.0); // the first image is a 3, the second a 7
//! let (seed, epoch, batch) = (0, 0, 0);
//! let rows = config.draw(n, size, &mut rng::keyed(seed, epoch, batch, rng::MIX));
//! mix_pixels(&rows, &mut pixels, size, channels);
//! mix_rows(&rows, &mut targets, classes);
//! assert!((targets[3] + targets[7] - 1.0).abs() < 1e-6);
//! # Ok::<(), tallow_augment::Error>(())
//! ```

mod config;
mod mix;

pub use config::{MixConfig, MixMode};
pub use mix::{RowMix, mix_pixels, mix_rows};
