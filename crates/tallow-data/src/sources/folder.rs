//! Folders of images with one sub-folder per class, optionally below train/, validation/ and test/.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Details, ImageFiles, label_of, natural, sorted_classes};
use crate::dataset::Dataset;
use crate::decode;
use crate::error::{Error, Result};
use crate::options::OpenOptions;
use crate::splits::Splits;

const VALIDATION: &[&str] = &["validation", "valid", "val"];
const EXPECTED: &str = "class sub-folders with images in them, or train/, validation/ and test/ with class sub-folders";

/// Lists the images below `root` without opening them.
pub(crate) fn read(root: &Path, options: &OpenOptions) -> Result<Splits> {
    let mut ignored_files = 0;
    let folders = sub_folders(root, &mut ignored_files)?;
    let named =
        |names: &[&str]| folders.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, path)| path.clone());
    let (validation, test) = (named(VALIDATION), named(&["test"]));

    // A folder "train" that contains images is a class; one that contains folders is the training split.
    let train = match named(&["train"]) {
        Some(train) if !sub_folders(&train, &mut 0)?.is_empty() => Some(train),
        _ => None,
    };
    let Some(train) = train else {
        let is_split = |name: &String| VALIDATION.contains(&name.as_str()) || name == "test";
        if folders.is_empty() || folders.iter().all(|(name, _)| is_split(name)) {
            return Err(Error::NoImages { path: root.into(), expected: EXPECTED });
        }
        let classes = classes(&folders, options);
        return Ok(Splits {
            train: split(root, &folders, &classes, &mut ignored_files)?,
            validation: None,
            test: None,
            ignored_files,
            stream: None,
        });
    };

    let train_folders = sub_folders(&train, &mut ignored_files)?;
    let classes = classes(&train_folders, options);
    let mut given = |path: Option<PathBuf>| -> Result<Option<Arc<dyn Dataset>>> {
        let Some(path) = path else { return Ok(None) };
        let folders = sub_folders(&path, &mut ignored_files)?;
        if folders.is_empty() {
            return Err(Error::NoImages { path, expected: "class sub-folders with images in them" });
        }
        Ok(Some(split(root, &folders, &classes, &mut ignored_files)?))
    };
    let (validation, test) = (given(validation)?, given(test)?);
    Ok(Splits {
        train: split(root, &train_folders, &classes, &mut ignored_files)?,
        validation,
        test,
        ignored_files,
        stream: None,
    })
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
    ignored_files: &mut usize,
) -> Result<Arc<dyn Dataset>> {
    let mut labelled = Vec::new();
    for (name, path) in folders {
        labelled.push((label_of(name, classes, path)?, path));
    }
    labelled.sort();
    let mut files = Vec::new();
    for (label, folder) in labelled {
        let mut found = Vec::new();
        collect_images(folder, &mut found, ignored_files)?;
        if found.is_empty() {
            return Err(Error::EmptyClass { path: folder.clone(), extensions: decode::EXTENSIONS.join(", ") });
        }
        found.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
        files.extend(found.into_iter().map(|path| {
            let relative = path.strip_prefix(root).map(Path::to_path_buf);
            (relative.unwrap_or(path), label)
        }));
    }
    Ok(Arc::new(ImageFiles { root: root.into(), class_names: classes.clone(), files, details: Details::default() }))
}

/// The folders directly in `folder`, without hidden ones; links are followed. Counts other files in `ignored_files`.
fn sub_folders(folder: &Path, ignored_files: &mut usize) -> Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        if fs::metadata(&path).map_err(Error::io(&path))?.is_dir() {
            folders.push((name, path));
        } else {
            *ignored_files += 1;
        }
    }
    Ok(folders)
}

/// Collects the image files anywhere below `folder`. Links to files are followed; links to folders are not, because
/// they can form a cycle.
fn collect_images(folder: &Path, found: &mut Vec<PathBuf>, ignored_files: &mut usize) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type().map_err(Error::io(&path))?.is_dir() {
            if !hidden {
                collect_images(&path, found, ignored_files)?;
            }
        } else if !hidden && decode::has_image_extension(&path) {
            found.push(path);
        } else {
            *ignored_files += 1;
        }
    }
    Ok(())
}
