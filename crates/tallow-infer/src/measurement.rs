//! The files of an evaluation: one table of metrics and one of predictions for each combination of data, split and views.

use std::path::Path;

use tallow_run::View;

/// The samples and the views of an evaluation, which name its files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measurement<'a> {
    /// The split.
    pub split: &'a str,
    /// Whether it is the split that training ends with: see [`Predictor::main_split`](crate::Predictor::main_split).
    pub is_main: bool,
    /// The dataset, if it is another one than the run's own.
    pub data: Option<&'a str>,
    /// The views of each image, if they are others than the run's own.
    pub views: Option<&'a [View]>,
    /// The folder of the files, if it is another one than the run directory.
    pub out: Option<&'a Path>,
}

impl<'a> Measurement<'a> {
    /// The evaluation that training ends with: `metrics.json` and `predictions.csv`.
    pub fn main(split: &'a str) -> Self {
        Self { split, is_main: true, ..Self::default() }
    }

    /// The names of the two files: `metrics.json` and `predictions.csv`, with data, split and views between where they are not
    /// those that training ends with, as in `metrics-photos_1f0c93d2-test-hflip+shift.json`.
    pub fn files(&self) -> [String; 2] {
        let views = self.views.map(|views| match views {
            [] => "none".to_owned(),
            views => views.iter().map(|view| view.name()).collect::<Vec<_>>().join("+"),
        });
        let suffix = match (self.data, &views) {
            _ if self.out.is_some() => String::new(),
            (None, None) if self.is_main => String::new(),
            (data, _) => {
                let parts = [data.map(short_name), Some(self.split.to_owned()), views];
                parts.into_iter().flatten().map(|part| format!("-{part}")).collect()
            }
        };
        [format!("metrics{suffix}.json"), format!("predictions{suffix}.csv")]
    }
}

/// A part of a file's name for a dataset: its own if it is a plain name, else that of its file or folder with a checksum of
/// the whole path, so that folders of one name are told apart.
fn short_name(spec: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let path = Path::new(spec);
    if spec.chars().all(plain) && !path.exists() {
        return spec.to_owned();
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let stem = absolute.file_stem().unwrap_or_default().to_string_lossy();
    let stem: String = stem.chars().map(|c| if plain(c) { c } else { '_' }).take(40).collect();
    format!("{stem}_{:08x}", crc32c::crc32c(absolute.as_os_str().as_encoded_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_data_split_and_views_has_its_own_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let [a, b] = ["a/photos", "b/photos"].map(|name| folder.path().join(name).display().to_string());
        let mut seen = std::collections::BTreeSet::new();
        for data in [None, Some("mnist"), Some(a.as_str()), Some(b.as_str())] {
            for (split, is_main) in [("test", true), ("train", false), ("validation", false)] {
                for views in [None, Some(&[][..]), Some(&[View::HFlip][..]), Some(&[View::HFlip, View::Shift][..])] {
                    let of = Measurement { split, is_main, data, views, out: None };
                    let files = of.files();
                    assert!(files.iter().all(|name| !name.contains(['/', '\\'])), "{files:?}");
                    assert!(seen.insert(files.clone()), "{files:?} twice");
                }
            }
        }
        assert_eq!(seen.len(), 48);
        let files = |of: Measurement<'_>| of.files().map(|name| name.split('_').next().unwrap_or_default().to_owned());
        assert_eq!(files(Measurement::main("test")), ["metrics.json", "predictions.csv"]);
        let of = Measurement { views: Some(&[View::HFlip, View::Shift]), ..Measurement::main("test") };
        assert_eq!(of.files()[0], "metrics-test-hflip+shift.json");
        let of = Measurement { data: Some("mnist"), ..Measurement::main("test") };
        assert_eq!(of.files(), ["metrics-mnist-test.json", "predictions-mnist-test.csv"]);
        let of = Measurement { out: Some(Path::new("x")), ..of };
        assert_eq!(of.files(), ["metrics.json", "predictions.csv"]);
    }
}
