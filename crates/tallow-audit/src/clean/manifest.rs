//! Writes a cleaned dataset: `manifest.csv` with the kept samples, `dropped.csv` with the others, and images where
//! needed.

use std::fs;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use tallow_base::write_atomically;

use super::{Action, median_filter};
use crate::{Error, Picture, Result, Samples};

/// The result of [`apply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The manifest, which can be opened as a dataset.
    pub manifest: PathBuf,
    /// The number of samples kept unchanged.
    pub kept: usize,
    /// The number of samples dropped.
    pub dropped: usize,
    /// The number of samples with a new label.
    pub relabelled: usize,
    /// The number of denoised images.
    pub denoised: usize,
}

/// Applies the actions: writes the cleaned dataset into the folder `out`, which is created. The ids of samples are
/// paths relative to `root`. A sample that is no file there (from an IDX file, a CIFAR file or a shard) is written as
/// PNG into `out/images`, as are denoised images.
///
/// The columns of `manifest.csv` are path (absolute, or relative to `out`), label, split, action, and was (the original
/// label); those of `dropped.csv` are id, label, split and reason.
///
/// # Errors
/// The folder cannot be written, or an image cannot be read.
pub fn apply(samples: &Samples, actions: &[Action], root: &Path, out: &Path) -> Result<Applied> {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
    for (split, _) in samples.parts() {
        let folder = out.join("images").join(split.name());
        fs::create_dir_all(&folder).map_err(Error::io(&folder, "create"))?;
    }
    let kept: Vec<usize> = (0..actions.len()).filter(|sample| !matches!(actions[*sample], Action::Drop(_))).collect();
    let paths: Vec<String> = kept
        .into_par_iter()
        .map(|sample| path_of(samples, sample, &actions[sample], &root, out))
        .collect::<Result<_>>()?;

    let mut applied = Applied { manifest: out.join("manifest.csv"), kept: 0, dropped: 0, relabelled: 0, denoised: 0 };
    let (mut manifest, mut dropped) = (csv::Writer::from_writer(Vec::new()), csv::Writer::from_writer(Vec::new()));
    let mut rows = vec![(true, ["path", "label", "split", "action", "was"].map(str::to_owned).to_vec())];
    rows.push((false, ["id", "label", "split", "reason"].map(str::to_owned).to_vec()));
    let mut paths = paths.into_iter();
    for (sample, action) in actions.iter().enumerate() {
        let (split, was) = (samples.split(sample).name().to_owned(), samples.class(sample).to_owned());
        let label = match action {
            Action::Relabel(class) => samples.class_names()[*class].clone(),
            _ => was.clone(),
        };
        match action {
            Action::Keep => applied.kept += 1,
            Action::Drop(_) => applied.dropped += 1,
            Action::Relabel(_) => applied.relabelled += 1,
            Action::Denoise => applied.denoised += 1,
        }
        rows.push(match action {
            Action::Drop(kind) => (false, vec![samples.id(sample), was, split, kind.name().to_owned()]),
            _ => (true, vec![paths.next().unwrap_or_default(), label, split, action.name().to_owned(), was]),
        });
    }
    for (stays, row) in rows {
        let csv = if stays { &mut manifest } else { &mut dropped };
        csv.write_record(row).map_err(|error| Error::io(out, "write")(error.into()))?;
    }
    for (csv, name) in [(manifest, "manifest.csv"), (dropped, "dropped.csv")] {
        let bytes = csv.into_inner().map_err(|error| Error::io(out, "write")(error.into_error()))?;
        let path = out.join(name);
        write_atomically(&path, bytes).map_err(Error::io(&path, "write"))?;
    }
    Ok(applied)
}

/// The path of a kept sample in the manifest; writes the image if the sample is no file, or is denoised.
fn path_of(samples: &Samples, sample: usize, action: &Action, root: &Path, out: &Path) -> Result<String> {
    let (split, dataset, index) = samples.locate(sample);
    let file = root.join(dataset.id(index));
    let has_file = file.is_file();
    if has_file && *action != Action::Denoise {
        return Ok(file.display().to_string());
    }
    let relative = format!("images/{}/{index:06}.png", split.name());
    let path = out.join(&relative);
    let mut image = dataset.image(index)?;
    if *action == Action::Denoise {
        let filtered = Picture::new(image).and_then(|picture| median_filter(&picture.image));
        image =
            filtered.map_err(|source| tallow_data::Error::Augment { id: samples.id(sample), source })?.into_dynamic();
    }
    image.save_with_format(&path, ImageFormat::Png).map_err(|source| Error::Encode { path, source })?;
    Ok(relative)
}
