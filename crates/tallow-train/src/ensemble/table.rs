//! The members of an ensemble beside it: how good each is, and how often two of them disagree.

use std::fmt;

use serde::Serialize;

use crate::{Predictions, Result};

/// Members up to which every pair is shown.
const SHOWN: usize = 8;

/// What each member and the ensemble make of the same samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberTable {
    /// One a member.
    pub members: Vec<MemberRow>,
    /// The ensemble.
    pub ensemble: MemberRow,
    /// The fraction of samples to which two members give different classes, one row a member.
    pub disagreement: Vec<Vec<f64>>,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberRow {
    /// Its name.
    pub name: String,
    /// Its weight, where the ensemble has weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// The fraction of samples whose class it says, in 0 to 1.
    pub top1: f64,
    /// The mean cross-entropy in nats.
    pub loss: f64,
}

impl MemberRow {
    /// The row of some logits, `n × classes`.
    ///
    /// # Errors
    /// No samples; logits that are not finite.
    pub fn new(name: &str, labels: &[usize], logits: &[f32], classes: usize) -> Result<Self> {
        let top1 = tallow_metrics::accuracy_score(labels, &tallow_metrics::argmax(logits, classes)?)?;
        let loss = tallow_metrics::log_loss_from_logits(labels, logits, classes)?;
        Ok(Self { name: name.to_owned(), weight: None, top1, loss })
    }
}

impl MemberTable {
    /// Measures members and ensemble on the samples that all of them saw.
    ///
    /// # Errors
    /// No samples; logits that are not finite.
    pub fn new(
        names: &[&str],
        weights: Option<&[f64]>,
        members: &[Predictions],
        ensemble: &Predictions,
    ) -> Result<Self> {
        let row = |name: &str, of: &Predictions| MemberRow::new(name, &of.labels, &of.logits, of.classes);
        let mut rows = names.iter().zip(members).map(|(name, of)| row(name, of)).collect::<Result<Vec<_>>>()?;
        if let Some(weights) = weights {
            rows.iter_mut().zip(weights).for_each(|(row, weight)| row.weight = Some(*weight));
        }
        let chosen = members
            .iter()
            .map(|of| Ok(tallow_metrics::argmax(&of.logits, of.classes)?))
            .collect::<Result<Vec<Vec<usize>>>>()?;
        let differ = |a: &Vec<usize>, b: &Vec<usize>| {
            a.iter().zip(b).filter(|(a, b)| a != b).count() as f64 / a.len().max(1) as f64
        };
        let disagreement = chosen.iter().map(|a| chosen.iter().map(|b| differ(a, b)).collect()).collect();
        Ok(Self { members: rows, ensemble: row("ensemble", ensemble)?, disagreement })
    }
}

impl fmt::Display for MemberTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<&MemberRow> = self.members.iter().chain([&self.ensemble]).collect();
        write_rows(f, &rows)?;
        let pairs: Vec<f64> = (0..self.members.len())
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .map(|(a, b)| 100.0 * self.disagreement[a][b])
            .collect();
        if pairs.is_empty() {
            return Ok(());
        }
        let mean = pairs.iter().sum::<f64>() / pairs.len() as f64;
        let (least, most) = pairs.iter().fold((f64::MAX, 0.0f64), |(l, m), p| (l.min(*p), m.max(*p)));
        write!(f, "\n\ntwo members disagree on {mean:.2} % of the samples ({least:.2} to {most:.2})")?;
        if (3..=SHOWN).contains(&self.members.len()) {
            let width = self.members.iter().map(|row| row.name.chars().count()).max().unwrap_or_default().max(7);
            write!(f, "\n{:width$}", "")?;
            self.members.iter().try_for_each(|row| write!(f, "  {:>width$}", row.name))?;
            for (row, disagreement) in self.members.iter().zip(&self.disagreement) {
                write!(f, "\n{:width$}", row.name)?;
                disagreement.iter().try_for_each(|d| write!(f, "  {:>width$}", format!("{:.2} %", 100.0 * d)))?;
            }
        }
        Ok(())
    }
}

/// The rows as a table, its last one set apart by its name alone.
pub(super) fn write_rows(f: &mut fmt::Formatter<'_>, rows: &[&MemberRow]) -> fmt::Result {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
    let weighted = rows.iter().any(|row| row.weight.is_some());
    write!(f, "{:width$}  {}   top-1     loss", "", if weighted { "weight" } else { "" })?;
    for row in rows {
        write!(f, "\n{:width$}  ", row.name)?;
        match row.weight {
            Some(weight) => write!(f, "{weight:6.3}")?,
            None if weighted => write!(f, "{:6}", "")?,
            None => {}
        }
        write!(f, " {:5.2} %  {:7.4}", 100.0 * row.top1, row.loss)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracies_and_disagreement_by_hand() -> Result<()> {
        let of = |logits: &[f32]| Predictions {
            logits: logits.to_vec(),
            classes: 2,
            labels: vec![0, 1, 0, 1],
            ids: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            ..Default::default()
        };
        let (a, b) = (of(&[1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]), of(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]));
        let table = MemberTable::new(&["a", "b"], Some(&[0.75, 0.25]), &[a.clone(), b], &a)?;
        assert_eq!((table.members[0].top1, table.members[1].top1, table.ensemble.top1), (0.75, 0.75, 0.75));
        assert_eq!(table.disagreement, [[0.0, 0.5], [0.5, 0.0]]);
        let text = table.to_string();
        assert!(text.contains("0.750 75.00 %") && text.contains("disagree on 50.00 %"), "{text}");
        Ok(())
    }
}
