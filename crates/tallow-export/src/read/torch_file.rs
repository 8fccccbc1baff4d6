//! PyTorch's files: the zip archives of `torch.save`, and the stream of pickles before PyTorch 1.6.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;

use candle_core::{DType, Device, Layout, Shape, Tensor};

use super::containers::state_dict;
use super::entry::{Entry, Stored, is_widened, widened};
use super::pickle::{self, Id, Node, Pickled, View};
use crate::error::{Error, Result};
use crate::excerpt::excerpt;

/// The memory of all tensors in f32, in multiples of the file's size. Half precision takes 2; views that overlap take more.
const MAX_EXPANSION: usize = 8;

/// The key under which a state dict was found, and its tensors.
type Found = (Option<String>, Vec<Entry>);

/// The tensors of a zip archive, in the order of the state dict.
pub(super) fn read_zip(path: &Path, bytes: &[u8]) -> Result<Found> {
    let broken = |reason: String| Error::Pickle { path: path.to_path_buf(), reason };
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(e.to_string()))?;
    let found = zip.file_names().find_map(|name| Some(name.ok()?.strip_suffix("data.pkl")?.to_string()));
    let folder = found.ok_or_else(|| broken("the archive holds no data.pkl".into()))?;
    // All contents together are no larger than the file: PyTorch stores without compression.
    let mut left = bytes.len();
    let mut content = |name: String| -> Result<Vec<u8>> {
        let failed = |reason: &dyn std::fmt::Display| broken(format!("{}: {reason}", excerpt(&name)));
        let mut file = zip.by_name(&name).map_err(|e| failed(&e))?;
        let mut content = Vec::new();
        file.by_ref().take(left as u64 + 1).read_to_end(&mut content).map_err(|e| failed(&e))?;
        left = left.checked_sub(content.len()).ok_or_else(|| {
            failed(&"its contents are larger than the file: a compressed archive is not supported; unpack it and pack it again \
                     without compression")
        })?;
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
    for &(_, tensor) in &dict {
        if let Node::Tensor { storage, .. } = pickled.nodes[tensor]
            && let Node::Storage { key, .. } = &pickled.nodes[storage]
            && !storages.contains_key(&**key)
        {
            storages.insert(&**key, content(format!("{folder}data/{key}"))?);
        }
    }
    let storages = storages.iter().map(|(&key, content)| (key, content.as_slice())).collect();
    Ok((key, tensors(path, &pickled, dict, &storages, bytes.len())?))
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
            Node::Storage { kind, key } => Some((&**key, element(kind)?.size_in_bytes())),
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
        let Some(width) = widths.get(&**key) else {
            return Err(broken(format!("storage {} is of a type that is not supported", excerpt(key))));
        };
        let len = bytes.get(at..at + 8).and_then(|len| len.try_into().ok()).map(u64::from_le_bytes);
        let size = len.and_then(|len| usize::try_from(len).ok()?.checked_mul(*width));
        let end = size.and_then(|size| (at + 8).checked_add(size));
        let Some(values) = end.and_then(|end| bytes.get(at + 8..end)) else {
            return Err(broken(format!("it ends within storage {}", excerpt(key))));
        };
        at += 8 + values.len();
        storages.insert(&**key, values);
    }
    let (key, dict) = state_dict(path, &pickled)?;
    Ok((key, tensors(path, &pickled, dict, &storages, bytes.len())?))
}

/// Copies each tensor out of its storage; a tensor under two names is copied once. `file` is the file's size in bytes.
fn tensors(
    path: &Path,
    pickled: &Pickled,
    dict: Vec<(&str, Id)>,
    storages: &HashMap<&str, &[u8]>,
    file: usize,
) -> Result<Vec<Entry>> {
    let mut left = file.saturating_mul(MAX_EXPANSION);
    let mut copied: HashMap<(&str, View), Tensor> = HashMap::new();
    let mut read = |tensor: Id| -> std::result::Result<Stored, String> {
        let view = pickled.view(tensor)?;
        let Node::Storage { kind, key } = &pickled.nodes[view.storage] else {
            return Err("it has no storage".into());
        };
        let bytes = storages.get(&**key).ok_or_else(|| format!("its storage {} is missing", excerpt(key)))?;
        let dtype = element(kind);
        let count = check(bytes, dtype.map_or(1, |dtype| dtype.size_in_bytes()), &view)?;
        let Some(dtype) = dtype.filter(|dtype| is_widened(*dtype)) else {
            let kind = excerpt(kind.strip_suffix("Storage").unwrap_or(kind));
            return Ok(Stored::Other { kind, shape: view.size });
        };
        // The number of the storage's node differs from name to name, its key does not.
        let place = (&**key, View { storage: 0, ..view });
        if let Some(tensor) = copied.get(&place) {
            return Ok(Stored::Tensor(tensor.clone()));
        }
        left = left.checked_sub(4 * count).ok_or_else(|| {
            format!("its tensors overlap: together they take more than {MAX_EXPANSION} times the file's size")
        })?;
        let tensor = widened(gather(bytes, dtype, &place.1)?).ok_or("its type cannot be converted")?;
        copied.insert(place, tensor.clone());
        Ok(Stored::Tensor(tensor))
    };
    let entry = |(name, tensor): (&str, Id)| match read(tensor) {
        Ok(stored) => Ok(Entry { name: name.to_string(), stored }),
        Err(reason) => Err(Error::Pickle { path: path.to_path_buf(), reason: format!("{}: {reason}", excerpt(name)) }),
    };
    dict.into_iter().map(entry).collect()
}

/// The number of elements of a view, all of which lie in its storage.
fn check(bytes: &[u8], width: usize, view: &View) -> std::result::Result<usize, String> {
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
    Ok(count)
}

/// A view as a contiguous tensor.
pub(super) fn gather(bytes: &[u8], dtype: DType, view: &View) -> std::result::Result<Tensor, String> {
    let width = dtype.size_in_bytes();
    let count = check(bytes, width, view)?;
    let View { offset, size, stride, .. } = view;
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
