//! What the audit found: issues, and notes on how they were found.

use std::collections::BTreeSet;

use crate::{Issue, IssueKind};

/// A remark on the issues of a kind, such as the accuracy of the model whose predictions were used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The kind of the issues.
    pub kind: IssueKind,
    /// The remark, in one or more sentences.
    pub text: String,
}

/// Issues and notes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// The issues.
    pub issues: Vec<Issue>,
    /// The notes on them, at most a few per kind.
    pub notes: Vec<Note>,
}

impl Findings {
    /// Adds other findings, and sorts the issues by kind, the worst first.
    pub fn add(&mut self, other: Findings) {
        self.issues.extend(other.issues);
        self.notes.extend(other.notes);
        crate::sort(&mut self.issues);
    }

    /// Removes the issues of `reviewed`, and returns how many were removed.
    pub fn leave_out(&mut self, reviewed: &BTreeSet<(IssueKind, usize)>) -> usize {
        let before = self.issues.len();
        self.issues.retain(|issue| !issue.sample.is_some_and(|sample| reviewed.contains(&(issue.kind, sample))));
        before - self.issues.len()
    }
}

impl From<Vec<Issue>> for Findings {
    fn from(issues: Vec<Issue>) -> Self {
        Self { issues, notes: Vec::new() }
    }
}
