//! The metrics of an ensemble beside those of its members, and how often two members disagree.

use std::fmt;

use serde::Serialize;

use crate::{Predictions, Result};

/// The number of members up to which all pairs are shown.
const SHOWN: usize = 8;

/// The metrics of each member and of the ensemble on the same samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberTable {
    /// One row per member.
    pub members: Vec<MemberRow>,
    /// The ensemble.
    pub ensemble: MemberRow,
    /// The fraction of samples on which two members disagree, one row per member.
    pub disagreement: Vec<Vec<f64>>,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberRow {
    /// Its name.
    pub name: String,
    /// Its weight, if the ensemble has weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// The accuracy, 0 to 1; for multi-label data, the fraction of samples whose likeliest class is correct.
    pub top1: f64,
    /// The mean cross-entropy in nats; for multi-label data, per sample and class.
    pub loss: f64,
    /// The mean average precision, for multi-label data.
    #[serde(rename = "map", skip_serializing_if = "Option::is_none")]
    pub mean_average_precision: Option<f64>,
}

impl MemberRow {
    /// The row of some predictions.
    ///
    /// # Errors
    /// No samples; logits that are not finite.
    pub fn new(name: &str, of: &Predictions) -> Result<Self> {
        let Predictions { labels, logits, classes, .. } = of;
        let of_one =
            |top1, loss, map| Self { name: name.to_owned(), weight: None, top1, loss, mean_average_precision: map };
        if of.is_multi_label() {
            let names: Vec<String> = (0..*classes).map(|class| class.to_string()).collect();
            let evaluation = of.evaluate(&names)?;
            let map = evaluation.multi_label.map(|several| several.mean_average_precision);
            return Ok(of_one(evaluation.top1, evaluation.loss, map));
        }
        let top1 = tallow_metrics::accuracy_score(labels, &tallow_metrics::argmax(logits, *classes)?)?;
        Ok(of_one(top1, tallow_metrics::log_loss_from_logits(labels, logits, *classes)?, None))
    }

    /// The score that ranks rows: the mean average precision for multi-label data, else the accuracy.
    pub fn score(&self) -> f64 {
        self.mean_average_precision.unwrap_or(self.top1)
    }
}

impl MemberTable {
    /// Evaluates members and ensemble on the same samples.
    ///
    /// # Errors
    /// No samples; logits that are not finite.
    pub fn new(
        names: &[&str],
        weights: Option<&[f64]>,
        members: &[Predictions],
        ensemble: &Predictions,
    ) -> Result<Self> {
        let mut rows =
            names.iter().zip(members).map(|(name, of)| MemberRow::new(name, of)).collect::<Result<Vec<_>>>()?;
        if let Some(weights) = weights {
            rows.iter_mut().zip(weights).for_each(|(row, weight)| row.weight = Some(*weight));
        }
        let chosen = members.iter().map(answers).collect::<Result<Vec<_>>>()?;
        let differ = |a: &Vec<Vec<usize>>, b: &Vec<Vec<usize>>| {
            a.iter().zip(b).filter(|(a, b)| a != b).count() as f64 / a.len().max(1) as f64
        };
        let disagreement = chosen.iter().map(|a| chosen.iter().map(|b| differ(a, b)).collect()).collect();
        Ok(Self { members: rows, ensemble: MemberRow::new("ensemble", ensemble)?, disagreement })
    }
}

impl MemberTable {
    /// The best member, if it alone is better than the ensemble.
    pub fn better_alone(&self) -> Option<&MemberRow> {
        let best = self.members.iter().max_by(|a, b| a.score().total_cmp(&b.score()))?;
        (best.score() > self.ensemble.score()).then_some(best)
    }
}

/// The predicted classes of each sample.
fn answers(of: &Predictions) -> Result<Vec<Vec<usize>>> {
    if of.is_multi_label() {
        let holding = |row: &[f32]| (0..row.len()).filter(|class| row[*class] > 0.0).collect();
        return Ok(of.logits.chunks_exact(of.classes).map(holding).collect());
    }
    Ok(of.predicted()?.into_iter().map(|class| vec![class]).collect())
}

impl fmt::Display for MemberTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<&MemberRow> = self.members.iter().chain([&self.ensemble]).collect();
        write_rows(f, &rows)?;
        if let Some(best) = self.better_alone() {
            let (alone, together) = (100.0 * best.score(), 100.0 * self.ensemble.score());
            write!(f, "\n\n{} alone is better than the ensemble: {alone:.2} % to {together:.2} %", best.name)?;
        }
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

/// Writes the rows as a table.
pub(super) fn write_rows(f: &mut fmt::Formatter<'_>, rows: &[&MemberRow]) -> fmt::Result {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
    let weighted = rows.iter().any(|row| row.weight.is_some());
    let map = if rows.iter().any(|row| row.mean_average_precision.is_some()) { "      mAP" } else { "" };
    write!(f, "{:width$}  {}   top-1     loss{map}", "", if weighted { "weight" } else { "" })?;
    for row in rows {
        write!(f, "\n{:width$}  ", row.name)?;
        match row.weight {
            Some(weight) => write!(f, "{weight:6.3}")?,
            None if weighted => write!(f, "{:6}", "")?,
            None => {}
        }
        write!(f, " {:5.2} %  {:7.4}", 100.0 * row.top1, row.loss)?;
        if let Some(map) = row.mean_average_precision {
            write!(f, "  {:5.2} %", 100.0 * map)?;
        }
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
        assert!(table.better_alone().is_none() && !text.contains("alone is better"), "{text}");
        // An ensemble that a weak member spoils.
        let (right, wrong) =
            (of(&[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]), of(&[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0]));
        let table = MemberTable::new(&["right", "wrong"], None, &[right, wrong.clone()], &wrong)?;
        let text = table.to_string();
        assert!(text.contains("right alone is better than the ensemble: 100.00 % to 25.00 %"), "{text}");
        Ok(())
    }
}
