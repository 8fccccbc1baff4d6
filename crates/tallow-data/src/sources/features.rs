//! Formats that need a feature of this crate. Without it, opening such a dataset is an error that names the feature.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::options::OpenOptions;
use crate::splits::Splits;

/// Reads Parquet files.
#[cfg(feature = "parquet")]
pub(crate) fn read_parquet(files: &[PathBuf], root: &Path, options: &OpenOptions) -> Result<Splits> {
    super::parquet::read(files, root, options)
}

/// Reads WebDataset shards.
#[cfg(feature = "wds")]
pub(crate) fn read_shards(files: &[PathBuf], root: &Path, options: &OpenOptions) -> Result<Splits> {
    super::wds::read(files, root, options)
}

/// Fetches the dataset `OWNER/NAME[:CONFIG][@REVISION]` from the Hub. Returns its folder and its files.
#[cfg(feature = "hub")]
pub(crate) fn fetch_from_hub(name: &str) -> Result<(PathBuf, Vec<PathBuf>)> {
    let fetched = tallow_hub::Hub::from_env().dataset(name).map_err(crate::error::Error::Hub)?;
    Ok((fetched.folder, fetched.files))
}

#[cfg(not(feature = "parquet"))]
pub(crate) fn read_parquet(_: &[PathBuf], _: &Path, _: &OpenOptions) -> Result<Splits> {
    Err(crate::error::Error::FeatureOff { what: "Parquet files", feature: "parquet" })
}

#[cfg(not(feature = "wds"))]
pub(crate) fn read_shards(_: &[PathBuf], _: &Path, _: &OpenOptions) -> Result<Splits> {
    Err(crate::error::Error::FeatureOff { what: "WebDataset shards", feature: "wds" })
}

#[cfg(not(feature = "hub"))]
pub(crate) fn fetch_from_hub(_: &str) -> Result<(PathBuf, Vec<PathBuf>)> {
    Err(crate::error::Error::FeatureOff { what: "datasets of the Hugging Face Hub", feature: "hub" })
}
