//! The scan: decodes every image once, on all cores, and takes its measures.

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::measures::{Measures, measure};
use crate::{Picture, Samples};

/// The result of the scan of a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Scanned {
    /// The measures of a decoded image.
    Image(Box<Measures>),
    /// The reason why the image cannot be decoded.
    Unreadable(String),
}

impl Scanned {
    /// The measures of a readable image.
    pub fn measures(&self) -> Option<&Measures> {
        match self {
            Scanned::Image(measures) => Some(measures),
            Scanned::Unreadable(_) => None,
        }
    }
}

/// Scans all samples in parallel. `progress` is called with the index of each finished sample, in any order, from any
/// thread.
pub fn scan(samples: &Samples, progress: impl Fn(usize) + Sync) -> Vec<Scanned> {
    let look = |index| {
        let scanned = match samples.image(index) {
            Ok(image) => Picture::new(image).and_then(|picture| measure(&picture)).map_err(|error| error.to_string()),
            Err(error) => Err(reason(error)),
        };
        progress(index);
        scanned.map_or_else(Scanned::Unreadable, |measures| Scanned::Image(Box::new(measures)))
    };
    (0..samples.len()).into_par_iter().map(look).collect()
}

/// The decoder's message without the path, which is the sample's id.
fn reason(error: tallow_data::Error) -> String {
    match error {
        tallow_data::Error::Decode { reason, .. } | tallow_data::Error::TooLarge { reason, .. } => reason,
        tallow_data::Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
