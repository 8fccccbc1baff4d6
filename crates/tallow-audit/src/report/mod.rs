//! The report of an audit: `issues.csv`, `index.html`, and a summary for the terminal; and its review, `reviewed.csv`.

pub mod html;
pub mod reviewed;

use std::fmt;
use std::path::Path;

use tallow_base::write_atomically;

use crate::{Error, Issue, IssueKind, Result, Samples, Split};

/// Writes `id,split,label,kind,score,suggested,detail`, a line per issue, in the given order.
///
/// # Errors
/// The file cannot be written.
pub fn write_csv(path: &Path, samples: &Samples, issues: &[Issue]) -> Result<()> {
    let failed = |error: csv::Error| Error::io(path, "write")(error.into());
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["id", "split", "label", "kind", "score", "suggested", "detail"]).map_err(failed)?;
    for issue in issues {
        let [id, split, label] = match issue.sample {
            Some(sample) => {
                [&samples.id(sample), samples.split(sample).name(), samples.class(sample)].map(str::to_owned)
            }
            None => [const { String::new() }; 3],
        };
        let suggested = issue.suggested.map_or("", |class| &samples.class_names()[class]);
        let score = format!("{:.6}", issue.score);
        csv.write_record([&id, &split, &label, issue.kind.name(), &score, suggested, &issue.detail]).map_err(failed)?;
    }
    let bytes = csv.into_inner().map_err(|error| Error::io(path, "write")(error.into_error()))?;
    write_atomically(path, bytes).map_err(Error::io(path, "write"))
}

/// The number of issues by kind and split. Prints as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    splits: Vec<(Split, usize)>,
    rows: Vec<(IssueKind, Vec<usize>, usize)>,
    affected: usize,
}

impl Summary {
    /// Counts the issues.
    pub fn new(samples: &Samples, issues: &[Issue]) -> Self {
        let splits: Vec<(Split, usize)> = samples.parts().iter().map(|(split, data)| (*split, data.len())).collect();
        let count = |kind: IssueKind| {
            let of_kind = || issues.iter().filter(move |issue| issue.kind == kind);
            let of_split = |(split, _): &(Split, usize)| {
                of_kind().filter(|issue| issue.sample.is_some_and(|sample| samples.split(sample) == *split)).count()
            };
            (kind, splits.iter().map(of_split).collect::<Vec<_>>(), of_kind().count())
        };
        let rows = IssueKind::all().map(count).filter(|(_, _, total)| *total > 0).collect();
        let affected: std::collections::BTreeSet<usize> = issues.iter().filter_map(|issue| issue.sample).collect();
        Self { affected: affected.len(), splits, rows }
    }

    /// The kinds that occur, with their counts per split and in total. Issues of the whole dataset count only in the
    /// total.
    pub fn rows(&self) -> &[(IssueKind, Vec<usize>, usize)] {
        &self.rows
    }

    /// The splits with their number of samples.
    pub fn splits(&self) -> &[(Split, usize)] {
        &self.splits
    }

    /// The number of samples with at least one issue.
    pub fn affected(&self) -> usize {
        self.affected
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.rows.iter().map(|(kind, ..)| kind.name().len()).max().unwrap_or(0).max(7);
        write!(f, "{:<widest$}", "issue")?;
        self.splits.iter().try_for_each(|(split, _)| write!(f, "  {:>10}", split.name()))?;
        writeln!(f, "  {:>8}", "all")?;
        for (kind, counts, total) in &self.rows {
            write!(f, "{:<widest$}", kind.name())?;
            counts.iter().try_for_each(|count| write!(f, "  {count:>10}"))?;
            writeln!(f, "  {total:>8}")?;
        }
        write!(f, "{:<widest$}", "samples")?;
        self.splits.iter().try_for_each(|(_, len)| write!(f, "  {len:>10}"))?;
        let all: usize = self.splits.iter().map(|(_, len)| len).sum();
        writeln!(f, "  {all:>8}")?;
        write!(f, "{} of them with an issue", self.affected)
    }
}
