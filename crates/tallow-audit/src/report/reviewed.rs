//! `reviewed.csv`: the issues that a person looked at and found to be none.
//!
//! The page writes it; the next audit leaves these issues out.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{Error, IssueKind, Result, Samples};

/// The columns of the file. Others are ignored, so that rows of `issues.csv` may be copied into it.
pub const COLUMNS: [&str; 4] = ["id", "split", "label", "kind"];

/// The line of an issue.
pub fn row(samples: &Samples, kind: IssueKind, sample: usize) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let id = samples.id(sample);
    let fields = [id.as_str(), samples.split(sample).name(), samples.class(sample), kind.name()];
    let written = csv.write_record(fields).ok().and_then(|()| csv.into_inner().ok());
    written.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Reads the issues: their kinds and samples. A label that has changed since the review makes a new issue, so such rows
/// do not count.
///
/// # Errors
/// The file cannot be read, lacks one of the columns `id`, `split`, `label` and `kind`, or names a sample or kind that does
/// not exist.
pub fn read(path: &Path, samples: &Samples) -> Result<BTreeSet<(IssueKind, usize)>> {
    let fail = |line: u64, problem: String| Error::Reviewed { path: path.into(), line, problem };
    let file = std::fs::File::open(path).map_err(Error::io(path, "read"))?;
    let mut reader = csv::Reader::from_reader(std::io::BufReader::new(file));
    let header = reader.headers().map_err(|error| fail(1, error.to_string()))?.clone();
    let column = |name: &str| {
        header.iter().position(|found| found == name).ok_or_else(|| {
            let found = header.iter().take(8).collect::<Vec<_>>().join(", ");
            fail(1, format!("column `{name}` is missing; expected {}, found {found}", COLUMNS.join(", ")))
        })
    };
    let [id, split, label, kind] = [column("id")?, column("split")?, column("label")?, column("kind")?];
    let mut by_id = std::collections::HashMap::new();
    for sample in 0..samples.len() {
        by_id.insert((samples.split(sample).name(), samples.id(sample)), sample);
    }
    let mut reviewed = BTreeSet::new();
    for record in reader.records() {
        let record =
            record.map_err(|error| fail(error.position().map_or(1, csv::Position::line), error.to_string()))?;
        let line = record.position().map_or(1, csv::Position::line);
        let kind = IssueKind::parse(&record[kind]).map_err(|error| fail(line, error.to_string()))?;
        let split = samples.parts().iter().map(|(split, _)| split.name()).find(|name| *name == &record[split]);
        let sample = split.and_then(|split| by_id.get(&(split, record[id].to_owned())));
        let Some(&sample) = sample else {
            return Err(fail(
                line,
                format!("the dataset has no sample `{}`; is this the review of another dataset?", &record[id]),
            ));
        };
        if samples.class(sample) == &record[label] {
            reviewed.insert((kind, sample));
        }
    }
    Ok(reviewed)
}
