//! Ensembles: several runs, or several sets of weights, combined into one prediction.
//!
//! One method per file, the arithmetic as plain functions over tables of probabilities:
//!
//! | module | what it does |
//! |---|---|
//! | [`combine`] | voting, weighted averages |
//! | [`weights`] | the weights with the lowest log loss |
//! | [`selection`] | weights by greedy selection with replacement |
//! | [`stack`], [`logistic`] | a logistic regression on the members' probabilities |
//! | [`soup`] | averages of model weights, uniform or greedy |
//! | [`member`] | a run, one of its snapshots, or the folds of a cross-validation |
//! | [`held_out`], [`out_of_fold`] | the members' predictions of samples that they were not trained on |
//! | [`build`](mod@build) | from runs to the directory of an ensemble |
//! | [`dir`] | the directory of an ensemble |
//! | [`table`] | metrics of members and ensemble side by side |
//! | [`problem`] | why a run cannot be a member |

pub mod build;
pub mod combine;
pub mod dir;
pub mod held_out;
pub mod logistic;
pub mod member;
pub mod out_of_fold;
pub mod problem;
pub mod selection;
pub mod soup;
pub mod stack;
pub mod table;
pub mod weights;

mod cholesky;
mod lbfgs;

use serde::{Deserialize, Serialize};

pub use build::{BuildReport, MemberReport, Plan, build};
pub use combine::{average, vote, vote_each};
pub use dir::Ensemble;
pub use held_out::HeldOut;
pub use logistic::LogisticRegression;
pub use member::Member;
pub use out_of_fold::OutOfFoldTable;
pub use problem::MemberProblem;
pub use selection::select_greedily;
pub use stack::Stack;
pub use table::MemberTable;
pub use weights::fit_weights;

/// The rule that combines the predictions of several runs into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The class that most members choose.
    Vote,
    /// The mean of the members' probabilities.
    Average,
    /// Their weighted mean, weights by the log loss on held-out samples.
    Weighted,
    /// Their weighted mean, weights by greedy selection with replacement.
    Selection,
    /// A logistic regression on their probabilities.
    Stack,
    /// One model: the mean of the members' weights.
    Soup,
    /// One model: the mean of the weights of those members that raise the accuracy on held-out samples.
    Greedy,
}

impl Method {
    /// Every method by its name.
    pub const ALL: [(&str, Self); 7] = [
        ("vote", Self::Vote),
        ("average", Self::Average),
        ("weighted", Self::Weighted),
        ("selection", Self::Selection),
        ("stack", Self::Stack),
        ("soup", Self::Soup),
        ("greedy", Self::Greedy),
    ];

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }

    /// Whether the method is fitted on held-out samples.
    pub fn is_fitted(self) -> bool {
        !matches!(self, Self::Vote | Self::Average | Self::Soup)
    }

    /// Whether the result is one model.
    pub fn is_soup(self) -> bool {
        matches!(self, Self::Soup | Self::Greedy)
    }
}
