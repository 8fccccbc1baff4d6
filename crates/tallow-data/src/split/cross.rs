//! The folds of a dataset for cross-validation: whole groups if it has groups, else stratified by class.

use super::folds::{Fold, repeated, stratified_k_fold};
use super::groups::group_k_fold;
use crate::dataset::{Dataset, groups, labels};
use crate::error::{Error, Result};
use crate::options::{FoldOptions, OpenOptions};

/// The held-out indices of `count` folds of `dataset`, then those of `repeats - 1` further divisions with the seeds
/// that follow `options.seed`. With `options.group_column`, folds keep groups whole; else they are stratified by class.
///
/// # Errors
/// Fewer than two folds or no repeat; more folds than samples or groups; the dataset has no groups;
/// `options.time_column` is given, because folds by time never hold out the earliest samples.
pub fn cross_validation_folds(
    dataset: &dyn Dataset,
    count: usize,
    repeats: usize,
    options: &OpenOptions,
) -> Result<Vec<Vec<usize>>> {
    let fail = |field, expected: String, found: String| Err(Error::Option { field, expected, found });
    if count < 2 || count > dataset.len() {
        return fail("fold.count", format!("from 2 to the {} samples there are", dataset.len()), count.to_string());
    }
    if repeats == 0 {
        return fail("fold.repeats", "1 or more".into(), "0".into());
    }
    if let Some(column) = &options.time_column {
        return fail("time_column", "absent: folds by time never hold out the earliest samples".into(), column.clone());
    }
    let labels = labels(dataset);
    let Some(column) = &options.group_column else {
        return Ok(repeated(repeats, options.seed, |seed| stratified_k_fold(&labels, count, seed)));
    };
    let Some(groups) = groups(dataset) else {
        return fail("group_column", "absent: this dataset has no groups".into(), column.clone());
    };
    let folds = repeated(repeats, options.seed, |seed| group_k_fold(&groups, &labels, count, seed));
    if folds.iter().any(Vec::is_empty) {
        let distinct = groups.iter().collect::<std::collections::BTreeSet<_>>().len();
        return fail("fold.count", format!("at most the {distinct} groups of `{column}`"), count.to_string());
    }
    Ok(folds)
}

/// One of [`cross_validation_folds`], with its training samples.
///
/// # Errors
/// The errors of [`cross_validation_folds`].
pub fn cross_validation_fold(dataset: &dyn Dataset, fold: FoldOptions, options: &OpenOptions) -> Result<Fold> {
    let FoldOptions { count, index } = fold;
    let seed = options.seed.wrapping_add((index / count.max(1)) as u64);
    let mut folds = cross_validation_folds(dataset, count, 1, &OpenOptions { seed, ..options.clone() })?;
    Ok(Fold::holding_out(folds.swap_remove(index % count), dataset.len()))
}

/// The fold of each sample as CSV, `id,label,repeat_0,…`: one row per sample; the column of a repeat holds the index in
/// `folds` of the fold that holds the sample out. A repeat has `count` folds.
///
/// # Errors
/// Out of memory.
pub fn folds_csv(dataset: &dyn Dataset, folds: &[Vec<usize>], count: usize) -> Result<Vec<u8>> {
    let failed = |error: csv::Error| Error::Io { path: "folds.csv".into(), source: error.into() };
    let repeats: Vec<Vec<usize>> = folds
        .chunks(count.max(1))
        .enumerate()
        .map(|(repeat, folds)| {
            let mut fold_of = vec![0; dataset.len()];
            for (fold, held_out) in folds.iter().enumerate() {
                held_out.iter().for_each(|index| fold_of[*index] = repeat * count + fold);
            }
            fold_of
        })
        .collect();
    let mut csv = csv::Writer::from_writer(Vec::new());
    let columns = (0..repeats.len()).map(|repeat| format!("repeat_{repeat}"));
    csv.write_record(["id", "label"].map(str::to_owned).into_iter().chain(columns)).map_err(failed)?;
    for index in 0..dataset.len() {
        let names = [dataset.id(index), class_of(dataset, index)].into_iter();
        csv.write_record(names.chain(repeats.iter().map(|fold_of| fold_of[index].to_string()))).map_err(failed)?;
    }
    csv.into_inner().map_err(|error| failed(error.into_error().into()))
}

/// The class of a sample, or all its classes: `a|b`.
fn class_of(dataset: &dyn Dataset, index: usize) -> String {
    let names = dataset.class_names();
    match dataset.target(index).filter(|_| dataset.is_multi_label()) {
        Some(target) => {
            let holding = names.iter().zip(target).filter(|(_, holds)| *holds > 0.5);
            holding.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("|")
        }
        None => names[dataset.label(index)].clone(),
    }
}

/// The number of folds in a repeat and the number of repeats in a table made by [`folds_csv`]; `None` for another
/// table.
pub fn folds_and_repeats(csv: &[u8]) -> Option<(usize, usize)> {
    let mut reader = csv::Reader::from_reader(csv);
    let repeats = reader.headers().ok()?.iter().filter(|column| column.starts_with("repeat_")).count();
    let mut folds = 0;
    for record in reader.records() {
        let numbers =
            record.ok()?.iter().skip(2).map(str::parse::<usize>).collect::<std::result::Result<Vec<_>, _>>().ok()?;
        folds = folds.max(numbers.into_iter().max()? + 1);
    }
    (repeats > 0 && folds % repeats == 0).then_some((folds / repeats, repeats))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::open::{open, split};
    use crate::splits::Splits;
    use crate::subset::Subset;

    /// The first `count` bundled training images.
    fn images(count: usize) -> Arc<dyn Dataset> {
        let splits = open("fashion-mnist-6k", &OpenOptions::default()).unwrap();
        Arc::new(Subset::new(splits.train, (0..count).collect()).unwrap())
    }

    fn ids(dataset: &dyn Dataset) -> Vec<String> {
        (0..dataset.len()).map(|index| dataset.id(index)).collect()
    }

    #[test]
    fn folds_are_disjoint_cover_everything_and_are_what_split_holds_out() {
        let all = images(60);
        let options = OpenOptions { seed: 3, ..OpenOptions::default() };
        let folds = cross_validation_folds(all.as_ref(), 4, 2, &options).unwrap();
        assert_eq!(folds.len(), 8);
        for repeat in folds.chunks(4) {
            let mut held_out = repeat.concat();
            held_out.sort_unstable();
            assert_eq!(held_out, (0..60).collect::<Vec<_>>());
        }
        assert_ne!(folds[..4], folds[4..]);
        for (index, expected) in folds.iter().enumerate() {
            let fold = FoldOptions { count: 4, index };
            let options = OpenOptions { fold: Some(fold), validation_fraction: 0.2, ..options.clone() };
            let whole = Splits { train: all.clone(), validation: None, test: None, ignored_files: 0, stream: None };
            let (splits, held_out) = split(whole, &options).unwrap();
            let held_out = held_out.unwrap();
            assert_eq!(ids(held_out.as_ref()), expected.iter().map(|i| all.id(*i)).collect::<Vec<_>>());
            // The validation split is of what is left.
            let validation = splits.validation.unwrap();
            assert_eq!((splits.train.len(), validation.len()), (36, 9));
            let mut together = [ids(splits.train.as_ref()), ids(validation.as_ref()), ids(held_out.as_ref())].concat();
            let mut everything = ids(all.as_ref());
            together.sort_unstable();
            everything.sort_unstable();
            assert_eq!(together, everything);
        }
        let csv = folds_csv(all.as_ref(), &folds, 4).unwrap();
        assert_eq!(folds_and_repeats(&csv), Some((4, 2)));
        assert_eq!(folds_and_repeats(b"id,label\na,b\n"), None);
        assert_eq!(folds_and_repeats(b"id,label,repeat_0\na,b,c\n"), None);
        let csv = String::from_utf8(csv).unwrap();
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!((lines.len(), lines[0].as_slice()), (61, ["id", "label", "repeat_0", "repeat_1"].as_slice()));
        for (index, line) in lines[1..].iter().enumerate() {
            let [first, second] = [line[2], line[3]].map(|fold| fold.parse::<usize>().unwrap());
            assert!(first < 4 && folds[first].contains(&index), "{line:?}");
            assert!((4..8).contains(&second) && folds[second].contains(&index), "{line:?}");
        }
    }

    /// Images whose groups are three in a row.
    struct Grouped(Arc<dyn Dataset>);

    impl Dataset for Grouped {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn class_names(&self) -> &[String] {
            self.0.class_names()
        }

        fn label(&self, index: usize) -> usize {
            self.0.label(index)
        }

        fn group(&self, index: usize) -> Option<usize> {
            Some(index / 3)
        }

        fn image(&self, index: usize) -> Result<image::DynamicImage> {
            self.0.image(index)
        }

        fn id(&self, index: usize) -> String {
            self.0.id(index)
        }

        fn channels(&self) -> usize {
            self.0.channels()
        }
    }

    #[test]
    fn groups_stay_whole_and_are_no_fewer_than_folds() {
        let options = OpenOptions { group_column: Some("patient".into()), ..OpenOptions::default() };
        let grouped = Grouped(images(30));
        for held_out in cross_validation_folds(&grouped, 5, 2, &options).unwrap() {
            assert!(!held_out.is_empty());
            assert!(
                held_out
                    .iter()
                    .all(|index| held_out.contains(&(index / 3 * 3)) && held_out.contains(&(index / 3 * 3 + 2)))
            );
        }
        let error = cross_validation_folds(&grouped, 11, 1, &options).unwrap_err().to_string();
        assert!(error.contains("at most the 10 groups of `patient`"), "{error}");
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        let all = images(10);
        let fails = |count, repeats, options: OpenOptions, part: &str| {
            let error = cross_validation_folds(all.as_ref(), count, repeats, &options).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        let column = || Some("patient".to_owned());
        fails(1, 1, OpenOptions::default(), "from 2 to the 10 samples");
        fails(11, 1, OpenOptions::default(), "from 2 to the 10 samples");
        fails(2, 0, OpenOptions::default(), "repeats");
        fails(2, 1, OpenOptions { group_column: column(), ..OpenOptions::default() }, "no groups");
        fails(2, 1, OpenOptions { time_column: column(), ..OpenOptions::default() }, "time");
    }
}
