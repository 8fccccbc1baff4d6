//! What is found while a dataset is opened: problems, sentences for the reader, and files that are not taken.

use std::collections::BTreeMap;
use std::path::Path;

use crate::decode;
use crate::error::{Error, Result};
use crate::names::SHOWN;
use crate::options::OpenOptions;
use crate::splits::Splits;

/// Sentences and counts, collected by the reader of a format.
#[derive(Default)]
pub(crate) struct Findings {
    describe: bool,
    notes: Vec<String>,
    /// The number of problems in the notes, and of those that are too many to list.
    problems: usize,
    unlisted: usize,
    untaken: Untaken,
}

impl Findings {
    /// Without findings; problems stop the reader unless `options.describe`.
    pub fn new(options: &OpenOptions) -> Self {
        Self { describe: options.describe, ..Self::default() }
    }

    /// Adds a sentence.
    pub fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    /// A problem that stops training: an error, or in a description a sentence.
    pub fn problem(&mut self, error: Error) -> Result<()> {
        if !self.describe {
            return Err(error);
        }
        self.problems += 1;
        match self.problems > SHOWN {
            true => self.unlisted += 1,
            false => self.notes.push(error.to_string()),
        }
        Ok(())
    }

    /// The sentences.
    #[cfg(test)]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Counts a file that is not taken.
    pub fn untaken(&mut self, path: &Path) {
        self.untaken.add(path);
    }

    /// Adds the counts of files that are not taken.
    pub fn untaken_all(&mut self, more: &Untaken) {
        self.untaken.merge(more);
    }

    /// The splits with these findings.
    pub fn into_splits(mut self, splits: Splits) -> Splits {
        if self.unlisted > 0 {
            self.notes.push(format!("{} more problems of this kind", self.unlisted));
        }
        self.notes.extend(self.untaken.sentences());
        let ignored_files = splits.ignored_files + self.untaken.total();
        let notes = [splits.notes, self.notes].concat();
        Splits { ignored_files, notes, ..splits }
    }
}

/// Files that are not taken, counted by extension.
#[derive(Default, Clone)]
pub(crate) struct Untaken {
    others: BTreeMap<String, usize>,
    /// Images in formats that are not read.
    images: BTreeMap<String, usize>,
}

impl Untaken {
    pub fn add(&mut self, path: &Path) {
        let kind = match path.extension() {
            Some(extension) => format!(".{}", extension.to_string_lossy().to_lowercase()),
            None => "no extension".to_owned(),
        };
        let counts = if decode::has_foreign_extension(path) { &mut self.images } else { &mut self.others };
        *counts.entry(kind).or_default() += 1;
    }

    pub fn merge(&mut self, more: &Self) {
        for (counts, more) in [(&mut self.others, &more.others), (&mut self.images, &more.images)] {
            more.iter().for_each(|(kind, count)| *counts.entry(kind.clone()).or_default() += count);
        }
    }

    pub fn total(&self) -> usize {
        self.others.values().chain(self.images.values()).sum()
    }

    fn sentences(&self) -> Vec<String> {
        let count = |counts: &BTreeMap<String, usize>| counts.values().sum::<usize>();
        let kinds = |counts: &BTreeMap<String, usize>| {
            let mut kinds: Vec<_> = counts.iter().collect();
            kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            let mut text: Vec<String> =
                kinds.iter().take(SHOWN).map(|(kind, count)| format!("{kind} {count}")).collect();
            if kinds.len() > SHOWN {
                text.push("…".to_owned());
            }
            text.join(", ")
        };
        let mut sentences = Vec::new();
        if count(&self.images) > 0 {
            sentences.push(format!(
                "not taken: {} in image formats that are not read ({}): convert them to PNG or JPEG",
                files(count(&self.images)),
                kinds(&self.images)
            ));
        }
        if count(&self.others) > 0 {
            let files = files(count(&self.others));
            sentences.push(format!("not taken: {files} without the extension of an image ({})", kinds(&self.others)));
        }
        sentences
    }
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}
