//! Selects the files of a dataset repository that hold the samples of a configuration.

/// Files that describe tar shards.
const BESIDE_SHARDS: [&str; 3] = ["_info.json", "info.json", "classnames.txt"];
/// Names of folders that are a split of a configuration, not a configuration.
const SPLITS: [&str; 6] = ["train", "validation", "valid", "val", "dev", "test"];
/// The configurations that are used if none is given.
const DEFAULTS: [&str; 4] = ["", "data", "default", "plain_text"];

/// The Parquet files of a configuration, or else the tar shards and the files that describe them. `None` if the
/// repository has neither.
///
/// # Errors
/// The names of the configurations, if the given one does not exist, or none is given and there are several.
pub(crate) fn files_of_configuration(
    files: &[String],
    config: Option<&str>,
) -> Result<Option<Vec<String>>, Vec<String>> {
    let with = |extension: &str| -> Vec<&String> { files.iter().filter(|file| file.ends_with(extension)).collect() };
    let (tables, shards) = (with(".parquet"), with(".tar"));
    let samples = if tables.is_empty() { shards } else { tables };
    if samples.is_empty() {
        return Ok(None);
    }
    let mut configs: Vec<String> = samples.iter().map(|file| config_of(file)).collect();
    configs.sort();
    configs.dedup();
    let chosen = match config {
        Some(config) => configs.iter().find(|found| found.split('/').any(|part| part == config)),
        None if configs.len() == 1 => configs.first(),
        None => DEFAULTS.iter().find_map(|default| configs.iter().find(|found| found == default)),
    };
    let Some(chosen) = chosen else { return Err(configs) };
    let beside = |file: &&String| {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        BESIDE_SHARDS.contains(&name) && (folder == *chosen || folder.is_empty())
    };
    let mut wanted: Vec<String> =
        samples.iter().filter(|file| config_of(file) == *chosen).map(|file| file.to_string()).collect();
    wanted.extend(files.iter().filter(beside).filter(|_| wanted[0].ends_with(".tar")).cloned().collect::<Vec<_>>());
    Ok(Some(wanted))
}

/// The configuration of a file: its folder, without trailing folders that are named as a split.
fn config_of(file: &str) -> String {
    let mut folders: Vec<&str> = file.split('/').collect();
    folders.pop();
    while folders.last().is_some_and(|folder| SPLITS.contains(folder)) {
        folders.pop();
    }
    folders.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[&str], config: Option<&str>, expected: Result<Option<&[&str]>, &[&str]>) {
        let files: Vec<String> = files.iter().map(|file| file.to_string()).collect();
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(files_of_configuration(&files, config), expected.map(|files| files.map(owned)).map_err(owned));
    }

    #[test]
    fn tables_of_a_configuration_or_shards() {
        let one = ["README.md", "data/train-0.parquet", "data/test-0.parquet"];
        check(&one, None, Ok(Some(&one[1..])));
        let two = ["coarse/train/0.parquet", "fine/train/0.parquet", "fine/test/0.parquet"];
        check(&two, Some("fine"), Ok(Some(&two[1..])));
        check(&two, None, Err(&["coarse", "fine"]));
        check(&two, Some("other"), Err(&["coarse", "fine"]));
        check(&["a/x.parquet", "default/x.parquet"], None, Ok(Some(&["default/x.parquet"])));
        let shards = ["_info.json", "x-00.tar", "x-01.tar", "notes.json"];
        check(&shards, None, Ok(Some(&["x-00.tar", "x-01.tar", "_info.json"])));
        check(&["a.csv"], None, Ok(None));
    }
}
