//! Folders of images with one sub-folder per class, optionally below train/, validation/ and test/.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Details, ImageFiles, label_of, natural, sorted_classes};
use super::layout::{Content, Layout, inner_folder, is_hidden, layout, probably_meant};
use super::manifest::{self, Part, SplitRule};
use super::paths::Split;
use crate::dataset::Dataset;
use crate::decode;
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::options::OpenOptions;
use crate::splits::Splits;

const EXPECTED: &str = "class sub-folders with images in them, or train/, validation/ and test/ with class sub-folders";

/// Lists the images below `root` without opening them.
pub(crate) fn read(root: &Path, options: &OpenOptions) -> Result<Splits> {
    let mut findings = Findings::new(options);
    let root = &inner_folder(root, true, &mut findings)?;
    let content = Content::of(root)?;
    if let Some(splits) = by_metadata(&[(root.clone(), SplitRule::ByFolder)], root, &mut findings, options)? {
        return Ok(findings.into_splits(splits));
    }
    content.others.iter().for_each(|path| findings.untaken(path));
    if content.images > 0 {
        let images = content.images;
        findings
            .note(format!("not taken: {images} images directly in {}, which no class folder holds", root.display()));
    }
    let splits = match layout(root, &content, options.folder_layout, &mut findings)? {
        Layout::Empty => return Err(no_images(root)),
        Layout::Classes(folders) => {
            let classes = classes(&folders, options);
            Splits::of(split(root, &folders, &classes, &mut findings)?)
        }
        Layout::Splits { train, validation, test } => {
            let given = [(Split::Train, Some(train)), (Split::Validation, validation), (Split::Test, test)];
            let given: Vec<(Split, PathBuf)> =
                given.into_iter().filter_map(|(split, path)| Some((split, path?))).collect();
            of_splits(root, &given, &mut findings, options)?
        }
    };
    let names = splits.train.class_names();
    if let [only] = names {
        findings.note(format!("there is one class only, `{only}`{}", hint(root)));
    }
    Ok(findings.into_splits(splits))
}

/// The error for a folder without class folders.
fn no_images(root: &Path) -> Error {
    match probably_meant(root) {
        Some(meant) => Error::format(root, format!("{EXPECTED}; {} was probably meant", meant.display()), "none"),
        None => Error::NoImages { path: root.into(), expected: EXPECTED },
    }
}

/// The folder that was probably meant instead of `root`, as the end of a sentence.
pub(crate) fn hint(root: &Path) -> String {
    probably_meant(root).map(|meant| format!("; {} was probably meant", meant.display())).unwrap_or_default()
}

/// The splits in these folders, with the classes of the first.
fn of_splits(
    root: &Path,
    given: &[(Split, PathBuf)],
    findings: &mut Findings,
    options: &OpenOptions,
) -> Result<Splits> {
    let inner = given
        .iter()
        .map(|(split, path)| Ok((*split, inner_folder(path, false, findings)?)))
        .collect::<Result<Vec<(Split, PathBuf)>>>()?;
    let parts: Vec<_> = inner.iter().map(|(split, path)| (path.clone(), SplitRule::Fixed(*split))).collect();
    if let Some(splits) = by_metadata(&parts, root, findings, options)? {
        return Ok(splits);
    }
    let mut made: Vec<(Split, Arc<dyn Dataset>)> = Vec::new();
    let mut names: Option<Arc<[String]>> = None;
    for (split_name, path) in &inner {
        let content = Content::of(path)?;
        content.others.iter().for_each(|path| findings.untaken(path));
        if content.folders.is_empty() {
            let expected = "class sub-folders with images in them";
            findings.problem(Error::NoImages { path: path.clone(), expected })?;
            continue;
        }
        if content.images > 0 {
            let images = content.images;
            findings.note(format!(
                "not taken: {images} images directly in {}, which no class folder holds",
                path.display()
            ));
        }
        let names = names.get_or_insert_with(|| classes(&content.folders, options));
        made.push((*split_name, split(root, &content.folders, names, findings)?));
    }
    let mut take = |wanted| made.iter().position(|(split, _)| *split == wanted).map(|at| made.swap_remove(at).1);
    let train = take(Split::Train).ok_or_else(|| no_images(root))?;
    Ok(Splits { validation: take(Split::Validation), test: take(Split::Test), ..Splits::of(train) })
}

/// The samples of the files `metadata.csv` or `metadata.jsonl` in all of these folders, as the `datasets` library reads
/// them. `None` if a folder has none, or one without labels, which is said.
fn by_metadata(
    folders: &[(PathBuf, SplitRule)],
    root: &Path,
    findings: &mut Findings,
    options: &OpenOptions,
) -> Result<Option<Splits>> {
    const NAMES: [&str; 2] = ["metadata.csv", "metadata.jsonl"];
    let mut parts = Vec::new();
    for (folder, split) in folders {
        let Some(manifest) = NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) else { continue };
        if !manifest::has_labels(&manifest, options) {
            let path = manifest.display();
            findings
                .note(format!("not taken: {path}, which has no columns of paths and labels that are known by name"));
            continue;
        }
        parts.push(Part { manifest, split: *split });
    }
    if parts.len() < folders.len() {
        for part in &parts {
            findings.note(format!("not taken: {}: other splits have no such file", part.manifest.display()));
        }
        return Ok(None);
    }
    for part in &parts {
        findings.note(format!("labels are those of {}", part.manifest.display()));
    }
    manifest::read_parts(&parts, root, options).map(Some)
}

fn classes(folders: &[(String, PathBuf)], options: &OpenOptions) -> Arc<[String]> {
    match &options.classes {
        Some(classes) => classes.clone().into(),
        None => {
            let names = folders.iter().map(|(name, _)| name.clone()).collect();
            sorted_classes(names, options.class_order).into()
        }
    }
}

/// The images in the class folders, class by class, files in natural order.
fn split(
    root: &Path,
    folders: &[(String, PathBuf)],
    classes: &Arc<[String]>,
    findings: &mut Findings,
) -> Result<Arc<dyn Dataset>> {
    let mut labelled = Vec::new();
    for (name, path) in folders {
        match label_of(name, classes, path) {
            Ok(label) => labelled.push((label, path)),
            Err(error) => findings.problem(error)?,
        }
    }
    labelled.sort();
    let mut files = Vec::new();
    for (label, folder) in labelled {
        let mut found = Vec::new();
        collect_images(folder, &mut found, findings)?;
        if found.is_empty() {
            let extensions = decode::EXTENSIONS.join(", ");
            findings.problem(Error::EmptyClass { path: folder.clone(), extensions })?;
        }
        found.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
        files.extend(found.into_iter().map(|path| {
            let relative = path.strip_prefix(root).map(Path::to_path_buf);
            (relative.unwrap_or(path), label)
        }));
    }
    Ok(Arc::new(ImageFiles { root: root.into(), class_names: classes.clone(), files, details: Details::default() }))
}

/// Collects the image files anywhere below `folder`. Links to files are followed; links to folders are not, because
/// they can form a cycle.
fn collect_images(folder: &Path, found: &mut Vec<PathBuf>, findings: &mut Findings) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        let hidden = is_hidden(&entry.file_name().to_string_lossy());
        if entry.file_type().map_err(Error::io(&path))?.is_dir() {
            if !hidden {
                collect_images(&path, found, findings)?;
            }
        } else if !hidden && decode::has_image_extension(&path) {
            found.push(path);
        } else {
            findings.untaken(&path);
        }
    }
    Ok(())
}
