//! Checkpoints: named groups of tensors, the position in the run and the architecture, in one safetensors file.
//!
//! A tensor of a group is stored as `GROUP.NAME`. Training writes the groups [`MODEL`], [`EMA`] and [`OPTIMIZER`]; weights to
//! ship are [`MODEL`] alone, or beside [`EMA`], which is then used in its place. The file's metadata holds the position as
//! JSON, the name of the architecture, and a checksum of these and of the tensors, so that a damaged file is refused. Random
//! numbers have no state: they follow from the seed and the position. Equal checkpoints are equal files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use candle_core::{Device, Tensor};
use safetensors::{SafeTensors, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tallow_nn::ParamStore;

use crate::{Error, Result, RunDir, write_atomic};

/// The group of the model's parameters and buffers.
pub const MODEL: &str = "model";
/// The group of their moving average.
pub const EMA: &str = "ema";
/// The group of the optimiser's state.
pub const OPTIMIZER: &str = "optim";

/// The entry of the file's metadata. It is the only one: several would have no order.
const KEY: &str = "tallow.checkpoint";
/// The entries of files without a checksum, which earlier versions wrote.
const FORMER_KEYS: [&str; 2] = ["tallow.model", "tallow.position"];

/// The content of [`KEY`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    /// The name of the architecture.
    model: String,
    /// The position as JSON.
    position: String,
    /// CRC-32C: see [`checksum`].
    crc32c: u32,
}

/// Named tensors.
pub type Tensors = Vec<(String, Tensor)>;

/// Writes a checkpoint of the architecture `model`, whole or not at all.
///
/// # Errors
/// A folder that cannot be written; a full disk.
pub fn save(path: &Path, model: &str, position: &impl Serialize, groups: Vec<(&str, Tensors)>) -> Result<()> {
    let mut tensors: Tensors = Vec::new();
    for (group, of_group) in groups {
        for (name, tensor) in of_group {
            tensors.push((format!("{group}.{name}"), tensor.contiguous()?));
        }
    }
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let position = serde_json::to_string(position).map_err(Error::serialize("the position of a checkpoint"))?;
    let mut description = Description { model: model.to_owned(), position, crc32c: 0 };
    let views = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    description.crc32c = checksum(&description, views);
    let description = serde_json::to_string(&description).map_err(Error::serialize("a checkpoint"))?;
    let metadata = HashMap::from([(KEY.to_owned(), description)]);
    let bytes = safetensors::serialize(tensors.iter().map(|(name, tensor)| (name, tensor)), Some(metadata))
        .map_err(|error| damaged(path, error.to_string()))?;
    write_atomic(path, &bytes)
}

/// The CRC-32C of a checkpoint's architecture and position, and of name, type, shape and bytes of its tensors, which are
/// sorted by name.
fn checksum<'a, V: View>(description: &Description, tensors: impl Iterator<Item = (&'a str, V)>) -> u32 {
    let Description { model, position, .. } = description;
    let mut crc = crc32c::crc32c(format!("{model}\0{position}\0").as_bytes());
    for (name, tensor) in tensors {
        let head = format!("{name}\0{:?}{:?}\0", tensor.dtype(), tensor.shape());
        crc = crc32c::crc32c_append(crc, head.as_bytes());
        crc = crc32c::crc32c_append(crc, &tensor.data());
    }
    crc
}

fn damaged(path: &Path, reason: String) -> Error {
    Error::Damaged { path: path.to_owned(), reason, previous: None }
}

/// A checkpoint in memory.
#[derive(Debug)]
pub struct Checkpoint {
    /// The architecture's name.
    pub model: String,
    position: String,
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`Error::Damaged`], which names the checkpoint before it if that is whole; a file that cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        Self::read(path).map_err(|error| match error {
            Error::Damaged { path, reason, .. } => {
                let previous = path.with_file_name("previous.safetensors");
                let is_last = path.file_name().is_some_and(|name| name == "last.safetensors");
                let whole = is_last && Self::read(&previous).is_ok();
                Error::Damaged { path, reason, previous: whole.then_some(previous) }
            }
            error => error,
        })
    }

    /// Reads the checkpoint that a run continues from: the last one, or if that is damaged or missing the one before it, with
    /// the error of the last one. `None` for a run that has none.
    ///
    /// # Errors
    /// Both are damaged; a file that cannot be read.
    pub fn load_to_resume(run: &RunDir) -> Result<Option<(Self, Option<Error>)>> {
        let missing =
            |error: &Error| matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
        let error = match Self::read(&run.last()) {
            Ok(last) => return Ok(Some((last, None))),
            Err(error @ Error::Damaged { .. }) => error,
            Err(error) if missing(&error) => error,
            Err(error) => return Err(error),
        };
        match Self::read(&run.previous()) {
            Ok(previous) => Ok(Some((previous, Some(error)))),
            Err(other) if missing(&error) && missing(&other) => Ok(None),
            Err(_) => Err(error),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io(path, "read this checkpoint"))?;
        let broken = |error: safetensors::SafeTensorError| damaged(path, error.to_string());
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
        let metadata = header.metadata().as_ref();
        let entry = |key: &str| metadata.and_then(|metadata| metadata.get(key)).cloned();
        let (model, position) = match (entry(KEY), FORMER_KEYS.map(entry)) {
            (Some(text), _) => {
                let description: Description =
                    serde_json::from_str(&text).map_err(|error| damaged(path, format!("`{KEY}`: {error}")))?;
                let file = SafeTensors::deserialize(&bytes).map_err(broken)?;
                let mut views: Vec<_> = file.iter().collect();
                views.sort_by_key(|(name, _)| *name);
                if checksum(&description, views.into_iter()) != description.crc32c {
                    return Err(damaged(path, "its content does not match its checksum".to_owned()));
                }
                (description.model, description.position)
            }
            (None, [Some(model), Some(position)]) => (model, position),
            (None, _) => return Err(damaged(path, format!("it has no `{KEY}`"))),
        };
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| damaged(path, error.to_string()))?;
        Ok(Self { model, position, path: path.to_owned(), tensors })
    }

    /// The file that it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The position in the run.
    ///
    /// # Errors
    /// A position of another type.
    pub fn position<P: DeserializeOwned>(&self) -> Result<P> {
        serde_json::from_str(&self.position).map_err(|error| self.damaged(&format!("its position: {error}")))
    }

    /// The error of a checkpoint whose content is impossible, for the reason given.
    pub fn damaged(&self, reason: &str) -> Error {
        damaged(&self.path, reason.to_owned())
    }

    /// The tensors of a group by name; empty if the checkpoint does not have it.
    pub fn group(&self, group: &str) -> HashMap<String, Tensor> {
        let strip = |name: &String| Some(name.strip_prefix(group)?.strip_prefix('.')?.to_owned());
        self.tensors.iter().filter_map(|(name, tensor)| Some((strip(name)?, tensor.clone()))).collect()
    }

    /// Gives a model the saved weights.
    ///
    /// # Errors
    /// [`Error::OtherCheckpoint`]; the model is then unchanged.
    pub fn restore_model(&self, store: &ParamStore) -> Result<()> {
        self.restore(store, &self.group(MODEL))
    }

    /// Gives a model the weights to evaluate: the averaged ones if the checkpoint has them.
    ///
    /// # Errors
    /// [`Error::OtherCheckpoint`]; the model is then unchanged.
    pub fn restore_best_model(&self, store: &ParamStore) -> Result<()> {
        let averaged = self.group(EMA);
        match averaged.is_empty() {
            true => self.restore_model(store),
            false => self.restore(store, &averaged),
        }
    }

    /// The error of a checkpoint that does not fit, for the reason given.
    pub fn does_not_fit(&self, reason: &str) -> Error {
        let reason =
            format!("it holds a {}: {reason}. Is it of another run, or was model or optim changed?", self.model);
        Error::OtherCheckpoint { path: self.path.clone(), reason }
    }

    fn restore(&self, store: &ParamStore, weights: &HashMap<String, Tensor>) -> Result<()> {
        let model = store.state_dict();
        for (name, tensor) in &model {
            match weights.get(name) {
                Some(saved) if saved.dims() == tensor.dims() => {}
                Some(saved) => {
                    let (expected, found) = (tensor.dims(), saved.dims());
                    return Err(self
                        .does_not_fit(&format!("{name} has shape {expected:?} in the model, {found:?} in the file")));
                }
                None => return Err(self.does_not_fit(&format!("the file has no {name}"))),
            }
        }
        if let Some(name) = weights.keys().find(|name| model.iter().all(|(known, _)| known != *name)) {
            return Err(self.does_not_fit(&format!("the model has no {name}")));
        }
        weights.iter().try_for_each(|(name, tensor)| Ok(store.set(name, tensor)?))
    }
}

/// Gives a model the weights to evaluate from the checkpoint at `path`.
///
/// # Errors
/// As [`Checkpoint::load`] and [`Checkpoint::restore_best_model`].
pub fn load_weights(path: &Path, store: &ParamStore) -> Result<()> {
    Checkpoint::load(path)?.restore_best_model(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save_small(path: &Path, values: &[f32]) -> Result<()> {
        let tensor = |values: &[f32]| Ok::<_, Error>(Tensor::new(values, &Device::Cpu)?);
        let weights = vec![("b.weight".to_owned(), tensor(values)?), ("a".to_owned(), tensor(&values[..1])?)];
        save(path, "small_cnn", &serde_json::json!({ "epoch": 3 }), vec![(MODEL, weights)])
    }

    #[test]
    fn every_flipped_bit_and_every_shorter_file_is_refused() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
        let path = folder.path().join("best.safetensors");
        save_small(&path, &[1.0, -2.5, 0.0])?;
        let whole = fs::read(&path).map_err(Error::io(&path, "read"))?;
        assert_eq!(Checkpoint::load(&path)?.model, "small_cnn");
        let refused = |bytes: &[u8], what: String| {
            fs::write(&path, bytes).expect("a damaged file");
            let error = Checkpoint::load(&path).map(|_| ());
            assert!(matches!(error, Err(Error::Damaged { .. })), "{what}: {error:?}");
        };
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            refused(&flipped, format!("bit {bit} of {:?}", whole[bit / 8] as char));
        }
        for length in 0..whole.len() {
            refused(&whole[..length], format!("{length} bytes"));
        }
        Ok(())
    }

    #[test]
    fn equal_checkpoints_are_equal_files() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
        let bytes = |name: &str| {
            let path = folder.path().join(name);
            save_small(&path, &[1.0, 2.0])?;
            fs::read(&path).map_err(Error::io(&path, "read"))
        };
        let first = bytes("0")?;
        for again in 1..8 {
            assert_eq!(bytes(&again.to_string())?, first);
        }
        Ok(())
    }

    #[test]
    fn a_damaged_last_checkpoint_gives_way_to_the_previous_one() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
        let run = RunDir::create(folder.path().join("a"), "", &[])?;
        assert!(Checkpoint::load_to_resume(&run)?.is_none());
        for value in [1.0, 2.0] {
            run.keep_previous()?;
            save_small(&run.last(), &[value])?;
        }
        let value = |checkpoint: &Checkpoint| checkpoint.group(MODEL)["a"].to_vec1::<f32>();
        let (last, told) = Checkpoint::load_to_resume(&run)?.expect("a checkpoint");
        assert_eq!((value(&last)?, told.is_none()), (vec![2.0], true));
        let mut bytes = fs::read(run.last()).map_err(Error::io("", "read"))?;
        *bytes.last_mut().expect("a byte") ^= 1;
        fs::write(run.last(), bytes).map_err(Error::io("", "write"))?;
        let (previous, told) = Checkpoint::load_to_resume(&run)?.expect("a checkpoint");
        assert_eq!(value(&previous)?, [1.0]);
        assert!(matches!(told, Some(Error::Damaged { path, .. }) if path == run.last()));
        let error = Checkpoint::load(&run.last()).map(|_| ()).expect_err("damaged").to_string();
        assert!(error.contains("checksum") && error.contains("previous.safetensors"), "{error}");
        fs::remove_file(run.last()).map_err(Error::io("", "remove"))?;
        let (previous, told) = Checkpoint::load_to_resume(&run)?.expect("a checkpoint");
        assert!(value(&previous)? == [1.0] && told.is_some());
        fs::write(run.previous(), "x").map_err(Error::io("", "write"))?;
        assert!(Checkpoint::load_to_resume(&run).is_err());
        Ok(())
    }
}
