//! `--columns path=filename,label=breed`: which columns of a manifest hold what.

use std::str::FromStr;

use tallow_data::OpenOptions;
use tallow_train::Setting;

/// What a column can hold, the key of the configuration that names it, and the option.
type Row = (&'static str, &'static str, fn(&mut OpenOptions) -> &mut Option<String>);

const COLUMNS: &[Row] = &[
    ("path", "data.image_column", |options| &mut options.image_column),
    ("label", "data.label_column", |options| &mut options.label_column),
    ("labels", "data.label_column", |options| &mut options.label_column),
    ("split", "data.split_column", |options| &mut options.split_column),
    ("weight", "data.weight_column", |options| &mut options.weight_column),
    ("group", "data.group_column", |options| &mut options.group_column),
    ("time", "data.time_column", |options| &mut options.time_column),
];
/// The key and the default of the separator, which makes a column hold several labels.
const SEPARATOR: (&str, &str) = ("data.label_separator", "|");

/// The help of the flag.
pub const HELP: &str = "The columns of a manifest that have other than the usual names: path=filename,label=breed; also \
                        labels (several, separated by |), split, weight, group, time";

/// The columns that the flag names.
#[derive(Debug, Clone)]
pub struct Columns(Vec<(&'static Row, String)>);

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(column).collect::<Result<_, String>>().map(Self)
    }
}

impl Columns {
    /// The settings of the configuration that the flag stands for.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for ((what, key, _), column) in &self.0 {
            settings.push(Setting::string("--columns", key, column));
            if *what == "labels" {
                settings.push(Setting::string("--columns", SEPARATOR.0, SEPARATOR.1));
            }
        }
        settings
    }

    /// Sets the columns in the options of a dataset.
    pub fn set(&self, options: &mut OpenOptions) {
        for ((what, _, option), column) in &self.0 {
            *option(options) = Some(column.clone());
            if *what == "labels" {
                options.label_separator = Some(SEPARATOR.1.to_owned());
            }
        }
    }
}

fn column(pair: &str) -> Result<(&'static Row, String), String> {
    let Some((name, column)) = pair.split_once('=').map(|(name, column)| (name.trim(), column.trim())) else {
        return Err(format!("expected WHAT=COLUMN, such as path=filename, found `{pair}`"));
    };
    match COLUMNS.iter().find(|(known, ..)| *known == name) {
        Some(row) if !column.is_empty() => Ok((row, column.to_owned())),
        _ => {
            let known = COLUMNS.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
            Err(format!("expected one of {known} and the name of a column, found `{pair}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_options_and_settings() {
        let mut options = OpenOptions::default();
        "path=file name, labels=tags".parse::<Columns>().unwrap().set(&mut options);
        assert_eq!(options.image_column.as_deref(), Some("file name"));
        assert_eq!((options.label_column.as_deref(), options.label_separator.as_deref()), (Some("tags"), Some("|")));
        assert_eq!("label=breed,labels=tags".parse::<Columns>().unwrap().settings().len(), 3);
        for wrong in ["breed", "name=x", "label="] {
            let error = wrong.parse::<Columns>().unwrap_err();
            assert!(error.contains(wrong) && error.contains("path"), "{error}");
        }
    }
}
