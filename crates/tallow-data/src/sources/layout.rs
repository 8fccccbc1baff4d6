//! The layout of a folder of images: class folders, or split folders with class folders; and the folder that was
//! probably meant.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::natural;
use super::paths::Split;
use crate::decode;
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::names::listed;
use crate::options::FolderLayout;

/// What is directly in a folder.
pub(super) struct Content {
    /// The folders, without hidden ones; links are followed. In natural order.
    pub folders: Vec<(String, PathBuf)>,
    /// The number of images.
    pub images: usize,
    /// The other files.
    pub others: Vec<PathBuf>,
}

impl Content {
    /// Lists a folder.
    pub fn of(folder: &Path) -> Result<Self> {
        let mut content = Self { folders: Vec::new(), images: 0, others: Vec::new() };
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            let entry = entry.map_err(Error::io(folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_hidden(&name) {
                continue;
            }
            let path = entry.path();
            // A link to nothing is a file that is not taken.
            if fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                content.folders.push((name, path));
            } else if decode::has_image_extension(&path) {
                content.images += 1;
            } else {
                content.others.push(path);
            }
        }
        content.folders.sort_by(|a, b| natural(&a.0, &b.0));
        Ok(content)
    }
}

/// Whether a name is hidden, or a folder that macOS adds to zip archives.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

/// How the folders of a folder of images are read.
pub(super) enum Layout {
    /// There are no folders, or only those of validation and test splits.
    Empty,
    /// Each folder is a class.
    Classes(Vec<(String, PathBuf)>),
    /// The splits' folders.
    Splits { train: PathBuf, validation: Option<PathBuf>, test: Option<PathBuf> },
}

/// A folder with the name of a split.
struct Named {
    split: Split,
    name: String,
    path: PathBuf,
    /// Whether it holds folders with images, as a split does. One that holds only images is a class.
    has_classes: bool,
}

/// Reads the layout of `root`.
pub(super) fn layout(root: &Path, content: &Content, wanted: FolderLayout, findings: &mut Findings) -> Result<Layout> {
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for (name, path) in &content.folders {
        match Split::by_name(name).filter(|_| wanted != FolderLayout::Classes) {
            Some(split) => {
                let inner = Content::of(path)?;
                let has_classes = inner.folders.iter().any(|(_, path)| holds_images(path));
                named.push(Named { split, name: name.clone(), path: path.clone(), has_classes });
            }
            None => others.push((name.clone(), path.clone())),
        }
    }
    let ambiguous = |reason: String| Error::AmbiguousFolders { path: root.into(), reason };
    let names =
        |folders: &[&Named]| listed(&folders.iter().map(|named| format!("{}/", named.name)).collect::<Vec<_>>());
    let with_images = || others.iter().filter(|(_, path)| holds_images(path)).map(|(name, _)| format!("{name}/"));
    let other_names: Vec<String> = with_images().collect();
    let splits: Vec<&Named> = named.iter().filter(|named| named.has_classes).collect();
    let flat: Vec<&Named> = named.iter().filter(|named| !named.has_classes && holds_images(&named.path)).collect();
    let has_train = splits.iter().any(|named| named.split == Split::Train);

    if wanted == FolderLayout::Auto {
        if has_train && splits.len() == 1 && !other_names.is_empty() {
            return Err(ambiguous(format!(
                "{} holds folders and stands beside {}: it is the training split, or a class",
                names(&splits),
                listed(&other_names)
            )));
        }
        if !has_train && !other_names.is_empty() && (!splits.is_empty() || flat.len() > 1) {
            let (found, listed) = (if splits.is_empty() { &flat } else { &splits }, listed(&other_names));
            return Err(ambiguous(format!("{} beside {listed} are splits, or classes", names(found))));
        }
        if !has_train && !other_names.is_empty() || named.is_empty() {
            return Ok(if content.folders.is_empty() {
                Layout::Empty
            } else {
                Layout::Classes(content.folders.clone())
            });
        }
    }
    if wanted == FolderLayout::Classes {
        return Ok(if others.is_empty() { Layout::Empty } else { Layout::Classes(others) });
    }
    if !has_train {
        return match flat.is_empty() {
            true => Ok(Layout::Empty),
            false => {
                let expected = "class folders in the split folders, or a manifest with a label for each image";
                Err(Error::format(root, expected, format!("images directly in {}", names(&flat))))
            }
        };
    }
    let mut taken: [Option<&Named>; 3] = [None; 3];
    for folder in &named {
        let place = &mut taken[folder.split as usize];
        let unlabelled = !folder.has_classes && holds_images(&folder.path);
        match place {
            _ if unlabelled => untaken(&folder.name, &folder.path, "its images have no class folders", findings),
            Some(first) => {
                let (first, second, split) = (&first.name, &folder.name, folder.split.name());
                findings.problem(ambiguous(format!("{first}/ and {second}/ are both the {split} split")))?;
            }
            None => *place = Some(folder),
        }
    }
    others.iter().for_each(|(name, path)| untaken(name, path, "it has not the name of a split", findings));
    let [train, validation, test] = taken.map(|folder| folder.map(|folder| folder.path.clone()));
    let train = train.unwrap_or_default(); // there is one: has_train
    Ok(Layout::Splits { train, validation, test })
}

/// Notes a folder that is not taken.
fn untaken(name: &str, path: &Path, reason: &str, findings: &mut Findings) {
    findings.note(format!("not taken: the folder {name}/ with {} images: {reason}", count_images(path)));
}

/// The folder with the class or split folders: `root`, or the only folder in it, or in that one, as in an unpacked zip
/// archive, if two or more class folders are there, or with `may_hold_splits` a training split.
pub(super) fn inner_folder(root: &Path, may_hold_splits: bool, findings: &mut Findings) -> Result<PathBuf> {
    let mut folder = root.to_path_buf();
    loop {
        let content = Content::of(&folder)?;
        let is_train = |(name, path): &(String, PathBuf)| {
            may_hold_splits && Split::by_name(name) == Some(Split::Train) && has_folders_of_images(path, 1)
        };
        if content.folders.iter().any(is_train) || has_folders_of_images(&folder, 2) {
            break;
        }
        match content.folders.as_slice() {
            [(_, only)] if content.images == 0 => folder = only.clone(),
            _ => return Ok(root.to_path_buf()),
        }
    }
    if folder != root {
        findings.note(format!("read from {}, the only folder in {}", folder.display(), root.display()));
    }
    Ok(folder)
}

/// The folder that was probably meant instead of `root`, in which there are no two classes: the folder around it, if all
/// its folders hold images, and there are two or more.
pub(super) fn probably_meant(root: &Path) -> Option<PathBuf> {
    let absolute = fs::canonicalize(root).ok()?;
    let parent = absolute.parent()?;
    let folders = Content::of(parent).ok()?.folders;
    let given = root.parent().filter(|given| !given.as_os_str().is_empty());
    let meant = folders.len() > 1 && holds_images(root) && folders.iter().all(|(_, path)| holds_images(path));
    meant.then(|| given.unwrap_or(parent).to_path_buf())
}

/// Whether at least `least` folders in this one hold images.
fn has_folders_of_images(folder: &Path, least: usize) -> bool {
    let folders = Content::of(folder).map(|content| content.folders).unwrap_or_default();
    folders.iter().filter(|(_, path)| holds_images(path)).take(least).count() == least
}

/// The number of entries that a search for an image looks at: a home folder must not be searched for minutes.
const SEARCHED: usize = 10_000;

/// Whether there is an image anywhere below a folder, among the first entries.
fn holds_images(folder: &Path) -> bool {
    let mut left = SEARCHED;
    search(folder, &mut left, &mut |_| true)
}

fn count_images(folder: &Path) -> String {
    let (mut left, mut count) = (SEARCHED, 0);
    search(folder, &mut left, &mut |_| {
        count += 1;
        false
    });
    if left == 0 { format!("more than {count}") } else { count.to_string() }
}

/// Calls `found` with each image below a folder until it returns true; returns whether it did.
fn search(folder: &Path, left: &mut usize, found: &mut dyn FnMut(&Path) -> bool) -> bool {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        let path = entry.path();
        if is_hidden(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // Links to folders can form a cycle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(path);
        } else if decode::has_image_extension(&path) && found(&path) {
            return true;
        }
    }
    folders.iter().any(|path| search(path, left, found))
}
