//! PyTorch's files: the zip archives of `torch.save`, and the stream of pickles before PyTorch 1.6.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;

use candle_core::{DType, Device, Layout, Shape, Tensor};

use super::pickle::{self, Id, Node, Pickled, View};
use super::state_dict::{Entry, Stored, widened};
use crate::error::{Error, Result};

/// The keys of state dicts in training checkpoints, averaged weights first, in timm's order.
const STATE_DICTS: [&str; 5] = ["state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict"];

/// The first pickle of the legacy format: the number 0x1950a86a20f9469cfc6c.
pub(super) const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The key under which a state dict was found, and its tensors.
type Found = (Option<String>, Vec<Entry>);

/// The tensors of a zip archive, in the order of the state dict.
pub(super) fn read_zip(path: &Path, bytes: &[u8]) -> Result<Found> {
    let broken = |reason: String| Error::Pickle { path: path.to_path_buf(), reason };
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(e.to_string()))?;
    let found = zip.file_names().find_map(|name| Some(name.ok()?.strip_suffix("data.pkl")?.to_string()));
    let folder = found.ok_or_else(|| broken("the archive holds no data.pkl".into()))?;
    let mut content = |name: String| -> Result<Vec<u8>> {
        let mut file = zip.by_name(&name).map_err(|e| broken(format!("{name}: {e}")))?;
        // No more than the file itself can hold: PyTorch stores without compression.
        let mut content = Vec::new();
        file.by_ref().take(bytes.len() as u64).read_to_end(&mut content).map_err(|e| broken(format!("{name}: {e}")))?;
        Ok(content)
    };
    let pickled = pickle::read(&content(format!("{folder}data.pkl"))?).map_err(broken)?;
    if let Ok(order) = content(format!("{folder}byteorder"))
        && order != b"little"
    {
        return Err(broken("its numbers are big-endian: files of big-endian machines are not supported".into()));
    }
    let (key, dict) = state_dict(path, &pickled)?;
    let mut storages = HashMap::new();
    for (_, view) in &dict {
        if let Node::Storage { key, .. } = &pickled.nodes[view.storage]
            && !storages.contains_key(key.as_str())
        {
            storages.insert(key.as_str(), content(format!("{folder}data/{key}"))?);
        }
    }
    let storages = storages.iter().map(|(&key, content)| (key, content.as_slice())).collect();
    Ok((key, tensors(path, &pickled, dict, &storages)?))
}

/// The tensors of a file in the legacy format, in the order of the state dict: three pickles about the
/// format, one of the content, one of the storages' keys, then each storage's length and values.
pub(super) fn read_legacy(path: &Path, bytes: &[u8]) -> Result<Found> {
    let broken = |reason: String| Error::Pickle { path: path.to_path_buf(), reason };
    let mut at = 0;
    let mut next = || -> Result<Pickled> {
        let pickled = pickle::read(&bytes[at..]).map_err(broken)?;
        at += pickled.len;
        Ok(pickled)
    };
    let (_mark, _version, system, pickled, keys) = (next()?, next()?, next()?, next()?, next()?);
    let big = system
        .entries(system.root)
        .into_iter()
        .flatten()
        .any(|(key, value)| key == "little_endian" && system.nodes[value] == Node::Bool(false));
    if big {
        return Err(broken("its numbers are big-endian: files of big-endian machines are not supported".into()));
    }
    let widths: HashMap<&str, usize> = pickled
        .nodes
        .iter()
        .filter_map(|node| match node {
            Node::Storage { kind, key, .. } => Some((key.as_str(), element(kind)?.size_in_bytes())),
            _ => None,
        })
        .collect();
    let Node::List(ids) = &keys.nodes[keys.root] else {
        return Err(broken("it has no list of storages".into()));
    };
    let mut storages = HashMap::new();
    for &id in ids {
        let Node::Text(key) = &keys.nodes[id] else {
            return Err(broken("a storage's key is not a string".into()));
        };
        let Some(width) = widths.get(key.as_str()) else {
            return Err(broken(format!("storage {key} is of a type that is not supported")));
        };
        let len = bytes.get(at..at + 8).and_then(|len| len.try_into().ok()).map(u64::from_le_bytes);
        let size = len.and_then(|len| usize::try_from(len).ok()?.checked_mul(*width));
        let end = size.and_then(|size| (at + 8).checked_add(size));
        let Some(values) = end.and_then(|end| bytes.get(at + 8..end)) else {
            return Err(broken(format!("it ends within storage {key}")));
        };
        at += 8 + values.len();
        storages.insert(key.as_str(), values);
    }
    let (key, dict) = state_dict(path, &pickled)?;
    Ok((key, tensors(path, &pickled, dict, &storages)?))
}

type Views<'a> = Vec<(&'a str, &'a View)>;

/// The dict that holds the weights: the one under a usual key of the root, else the root.
fn state_dict<'a>(path: &Path, pickled: &'a Pickled) -> Result<(Option<String>, Views<'a>)> {
    let views = |id: Id| -> Option<Views> {
        let entries = pickled.entries(id)?.into_iter();
        let views = entries.filter_map(|(name, id)| match &pickled.nodes[id] {
            Node::Tensor(view) => Some((name, view)),
            _ => None,
        });
        Some(views.collect()).filter(|views: &Views| !views.is_empty())
    };
    let no_weights = |found: String| Error::NoWeights { path: path.to_path_buf(), found };
    let Some(entries) = pickled.entries(pickled.root) else {
        return Err(no_weights(pickled.describe(pickled.root)));
    };
    for key in STATE_DICTS {
        if let Some(views) = entries.iter().find(|(name, _)| *name == key).and_then(|&(_, id)| views(id)) {
            return Ok((Some(key.to_string()), views));
        }
    }
    views(pickled.root).map(|views| (None, views)).ok_or_else(|| {
        let kind = |(key, id): &(&str, Id)| format!("`{key}`: {}", pickled.describe(*id));
        let kinds: Vec<String> = entries.iter().take(5).map(kind).collect();
        no_weights(format!("a dict without tensors ({})", kinds.join(", ")))
    })
}

/// Copies each tensor out of its storage.
fn tensors(path: &Path, pickled: &Pickled, dict: Views, storages: &HashMap<&str, &[u8]>) -> Result<Vec<Entry>> {
    let read = |view: &View| -> std::result::Result<Stored, String> {
        let Node::Storage { kind, key, .. } = &pickled.nodes[view.storage] else {
            return Err("it has no storage".into());
        };
        let bytes = storages.get(key.as_str()).ok_or_else(|| format!("its storage {key} is missing"))?;
        let tensor = match element(kind) {
            Some(dtype) => widened(gather(bytes, dtype, view)?),
            None => None,
        };
        let kind = kind.strip_suffix("Storage").unwrap_or(kind).to_string();
        Ok(tensor.map_or_else(|| Stored::Other { kind, shape: view.size.clone() }, Stored::Tensor))
    };
    let entry = |(name, view): (&str, &View)| match read(view) {
        Ok(stored) => Ok(Entry { name: name.to_string(), stored }),
        Err(reason) => Err(Error::Pickle { path: path.to_path_buf(), reason: format!("{name}: {reason}") }),
    };
    dict.into_iter().map(entry).collect()
}

/// A view as a contiguous tensor.
pub(super) fn gather(bytes: &[u8], dtype: DType, view: &View) -> std::result::Result<Tensor, String> {
    let width = dtype.size_in_bytes();
    let View { offset, size, stride, .. } = view;
    if size.len() != stride.len() {
        return Err(format!("size {size:?} does not go with strides {stride:?}"));
    }
    let outside = || format!("size {size:?} with strides {stride:?} from {offset} leaves its storage");
    let count = size.iter().try_fold(1usize, |count, &n| count.checked_mul(n)).ok_or_else(outside)?;
    let last = size
        .iter()
        .zip(stride)
        .try_fold(*offset, |last, (&n, &stride)| last.checked_add(n.saturating_sub(1).checked_mul(stride)?));
    // A view that repeats elements could be far larger than its file.
    if count > 0 && (last.is_none_or(|last| last >= bytes.len() / width) || count > bytes.len() / width) {
        return Err(outside());
    }
    let from_bytes =
        |bytes: &[u8]| Tensor::from_raw_buffer(bytes, dtype, size, &Device::Cpu).map_err(|e| e.to_string());
    let layout = Layout::new(Shape::from(size.clone()), stride.clone(), *offset);
    match layout.contiguous_offsets() {
        _ if count == 0 => from_bytes(&[]),
        Some((start, end)) => from_bytes(&bytes[start * width..end * width]),
        None => {
            let mut gathered = Vec::with_capacity(count * width);
            for i in 0..count {
                let digits = size.iter().zip(stride).rev().scan(i, |rest, (&n, &stride)| {
                    let digit = *rest % n;
                    *rest /= n;
                    Some(digit * stride)
                });
                let index = offset + digits.sum::<usize>();
                gathered.extend_from_slice(&bytes[index * width..][..width]);
            }
            from_bytes(&gathered)
        }
    }
}

/// The type of a storage's elements.
fn element(kind: &str) -> Option<DType> {
    Some(match kind {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "ByteStorage" | "BoolStorage" | "CharStorage" => DType::U8,
        _ => return None,
    })
}
