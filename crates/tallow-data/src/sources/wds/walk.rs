//! Groups the entries of a tar archive into samples, for the index and for the stream.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tar::{Entries, Entry};

use crate::decode;
use crate::error::{Error, Result};
use crate::findings::Untaken;
use crate::options::OpenOptions;
use crate::sources::paths::address;

/// What shards contain, for messages.
pub(super) const SAMPLES: &str =
    "samples of an image (jpg, png, webp) and a label (cls, or json with a label) in .tar files";
/// Keys of the label in a sample's JSON, in order of preference.
const LABELS: [&str; 3] = ["label", "cls", "class"];
/// The largest label or JSON file that is read.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// Whether a label marks a sample without a label, as in timm: a number below 0.
pub(super) fn means_none(label: &str) -> bool {
    label.starts_with('-') && label.parse::<i64>().is_ok()
}

/// The keys that are read from a sample's JSON.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    /// The label's key; `None`: the label is in the file `cls`.
    pub label: Option<String>,
    pub group: Option<String>,
    pub time: Option<String>,
}

impl Keys {
    /// The keys in the options; `label` is the key that `_info.json` names.
    pub fn new(options: &OpenOptions, label: Option<&str>) -> Self {
        Self {
            label: options.label_column.clone().or_else(|| label.map(String::from)),
            group: options.group_column.clone(),
            time: options.time_column.clone(),
        }
    }

    fn want_json(&self) -> bool {
        self.label.is_some() || self.group.is_some() || self.time.is_some()
    }
}

/// A sample. `T` is the image's place in the archive, or its bytes.
pub(super) struct Sample<T> {
    /// The path without the extension.
    pub key: String,
    pub image: T,
    pub label: String,
    pub group: Option<String>,
    pub time: Option<String>,
}

/// What an archive holds beside its samples.
#[derive(Default)]
pub(super) struct Rest {
    /// The number of samples without an image.
    pub without_image: usize,
    /// The members that belong to no image and label: those of samples without an image, and files without a key. Other
    /// members of a sample, as webdataset allows, are not counted.
    pub members: Untaken,
}

/// The files of one sample that have been read so far.
struct Parts<T> {
    key: String,
    image: Option<T>,
    class: Option<String>,
    json: Option<Value>,
    /// The members that are neither an image nor a label.
    others: Vec<PathBuf>,
}

/// Reads the entries in order. `image` receives each image, `emit` each sample; `emit` returns whether to continue.
/// Returns the samples that are not taken.
pub(super) fn walk<R: Read, T>(
    entries: Entries<'_, R>,
    path: &Path,
    keys: &Keys,
    mut image: impl FnMut(&mut Entry<'_, R>) -> Result<T>,
    mut emit: impl FnMut(Sample<T>) -> Result<bool>,
) -> Result<Rest> {
    let (mut without_image, mut members) = (0, Untaken::default());
    let mut parts: Option<Parts<T>> = None;
    let mut finish = |parts: Parts<T>, members: &mut Untaken| -> Result<bool> {
        let Some(image) = parts.image else {
            without_image += 1;
            parts.others.iter().for_each(|name| members.add(name));
            return Ok(true);
        };
        let at = |name: &Option<String>| name.as_ref().and_then(|name| text(&parts.json.as_ref()?[name]));
        let any = || LABELS.iter().find_map(|name| text(&parts.json.as_ref()?[*name]));
        let label = if keys.label.is_some() { at(&keys.label) } else { parts.class.or_else(any) };
        let Some(label) = label else {
            let key = keys.label.as_deref().unwrap_or("label");
            let expected = format!("a label for {}: a file .cls, or {key} in .json", parts.key);
            return Err(Error::format(path, expected, "none"));
        };
        let (group, time) = (at(&keys.group), at(&keys.time));
        for (name, found) in [(&keys.group, &group), (&keys.time, &time)] {
            if let (Some(name), None) = (name, found) {
                return Err(Error::format(path, format!("{name} in .json of {}", parts.key), "none"));
            }
        }
        emit(Sample { key: parts.key, image, label, group, time })
    };
    for entry in entries {
        let mut entry = entry.map_err(|error| damaged(path, &error))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some((key, extension)) = key_of(&name) else {
            if !is_archiver_metadata(&name) {
                members.add(Path::new(&name));
            }
            continue;
        };
        let extension = extension.to_ascii_lowercase();
        if parts.as_ref().is_none_or(|parts| parts.key != key) {
            let new = Parts { key: key.into(), image: None, class: None, json: None, others: Vec::new() };
            if let Some(done) = parts.replace(new)
                && !finish(done, &mut members)?
            {
                return Ok(Rest { without_image, members });
            }
        }
        let Some(parts) = parts.as_mut() else { continue };
        if decode::EXTENSIONS.contains(&extension.as_str()) {
            if parts.image.is_none() {
                parts.image = Some(image(&mut entry)?);
            }
        } else if extension == "cls" {
            parts.class = Some(read_text(&mut entry, path, &name)?.trim().into());
        } else if extension == "json" && (keys.want_json() || parts.class.is_none()) {
            let text = read_text(&mut entry, path, &name)?;
            let json = serde_json::from_str(&text)
                .map_err(|error| Error::format(&path.join(&name), "a JSON object", error.to_string()))?;
            parts.json = Some(json);
        } else if extension != "json" && parts.image.is_none() {
            parts.others.push(PathBuf::from(&name));
        }
    }
    if let Some(done) = parts {
        finish(done, &mut members)?;
    }
    Ok(Rest { without_image, members })
}

/// The error for an archive that cannot be read.
pub(super) fn damaged(path: &Path, error: &std::io::Error) -> Error {
    if address(path).is_some() {
        return Error::io(path)(std::io::Error::new(error.kind(), error.to_string()));
    }
    Error::format(path, "a whole tar archive", format!("{error}; fetch the file again"))
}

/// Whether a member is what macOS adds to archives.
fn is_archiver_metadata(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.starts_with("._") || file == ".DS_Store"
}

/// A sample's key and the extension, which is everything after the first dot of the file name.
fn key_of(name: &str) -> Option<(&str, &str)> {
    let start = name.rfind('/').map_or(0, |at| at + 1);
    let dot = start + name[start..].find('.')?;
    // No key: hidden files, and the metadata files of some archivers.
    (dot > start).then(|| (&name[..dot], &name[dot + 1..]))
}

fn read_text(entry: &mut Entry<'_, impl Read>, path: &Path, name: &str) -> Result<String> {
    if entry.size() > MAX_TEXT_BYTES {
        let found = format!("{} bytes", entry.size());
        return Err(Error::format(&path.join(name), format!("at most {MAX_TEXT_BYTES} bytes"), found));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| damaged(path, &error))?;
    if bytes.len() as u64 != entry.size() {
        return Err(Error::Size {
            path: path.join(name),
            expected: entry.size().to_string(),
            found: bytes.len() as u64,
        });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
