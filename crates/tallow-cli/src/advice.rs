//! What the user of a command can do about an error of the libraries, which know no command line.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use tallow_infer::ensemble::MemberProblem;

use crate::program;

/// The advice for an error, if there is some. It names only flags that the running command has; flags of another command stand
/// in backticks with it.
pub fn advice(error: &anyhow::Error) -> Option<String> {
    advice_for(error, &program::flags())
}

/// The first piece of advice for an error that a command with these flags can follow.
fn advice_for(error: &anyhow::Error, flags: &BTreeSet<String>) -> Option<String> {
    error.chain().find_map(|cause| {
        let found = (cause.downcast_ref().and_then(of_train))
            .or_else(|| cause.downcast_ref().and_then(of_infer))
            .or_else(|| cause.downcast_ref().and_then(of_run))
            .or_else(|| cause.downcast_ref().and_then(of_export))
            .or_else(|| cause.downcast_ref().and_then(of_models))
            .or_else(|| cause.downcast_ref().and_then(of_data))?;
        found.split(OR).find(|advice| program::names_only(advice, flags)).map(str::to_owned)
    })
}

/// Divides alternatives, the best first: the first whose flags the command has is given.
const OR: char = '|';

fn of_train(error: &tallow_train::Error) -> Option<String> {
    use tallow_train::Error;
    Some(match error {
        Error::Run(error) => return of_run(error),
        Error::Infer(error) => return of_infer(error),
        Error::Export(error) => return of_export(error),
        Error::Data(error) => return of_data(error),
        Error::CannotChange { path, .. } => {
            let (tallow, path) = (program::name(), path.display());
            format!(
                "leave these settings out, or start a new run from its weights: `{tallow} train --pretrained {path}`"
            )
        }
        Error::Models(error) => return of_models(error),
        Error::NotInCrossValidation { .. } => "leave it out".into(),
        Error::OtherFolds { .. } => "give the --data, --folds, --repeats and --group that they were made with".into(),
        Error::OtherFoldConfig { .. } => "give the same options, or none, or another --out".into(),
        Error::FoldInterrupted { path, .. } => {
            format!("continue with: `{} crossval --resume {}`", program::name(), path.display())
        }
        _ => return None,
    })
}

fn of_infer(error: &tallow_infer::Error) -> Option<String> {
    use tallow_infer::Error;
    let advice = match error {
        Error::Run(error) => return of_run(error),
        Error::Export(error) => return of_export(error),
        Error::Data(error) => return of_data(error),
        Error::NotAFold { .. } => "--split held_out is for the folds of a cross-validation: choose another split",
        Error::MultiLabelData { .. } => "give data with one label per sample",
        Error::TooFewMembers { .. } => "give more runs, or --snapshots for those of one run",
        Error::StackOfMultiLabel => "take --method weighted or selection",
        Error::FitOnTrain | Error::FitOnTest => "take --split validation, or other data by --data",
        Error::Member { problem, .. } => return of_member(problem).map(str::to_owned),
        _ => return None,
    };
    Some(advice.to_owned())
}

fn of_member(problem: &MemberProblem) -> Option<&'static str> {
    Some(match problem {
        MemberProblem::GivenTwice => "--method weighted finds weights",
        MemberProblem::SnapshotsOfFolds => "leave --snapshots out",
        MemberProblem::NoSnapshots => {
            "`train --set train.snapshots=true --set schedule.name=cosine_restarts` keeps some"
        }
        MemberProblem::NoOutOfFold => "give folders of cross-validations alone, or runs alone",
        MemberProblem::NoValidation
        | MemberProblem::FoldsWithoutOutOfFold
        | MemberProblem::OtherValidation { .. }
        | MemberProblem::OtherData { .. } => "make the members by `crossval`, or give other data by --data",
        MemberProblem::TrainedOn { .. } => "leave --data out to take its validation split",
        MemberProblem::FoldsInSoup => "give its folds, or another --method",
        MemberProblem::ClassOrder | MemberProblem::OtherModel { .. } | MemberProblem::VotesInGraph => {
            "take --method average"
        }
        MemberProblem::CropsInGraph => "take hflip, vflip or shift by --tta",
        _ => return None,
    })
}

fn of_export(error: &tallow_export::Error) -> Option<String> {
    use tallow_export::Error;
    let advice = match error {
        Error::OtherModel { found, .. } => return Some(format!("add --model {found}")),
        Error::OtherArchitecture { fits_by_order: true, .. } => "add --weights-by-order to match them by order",
        Error::OtherClasses { .. } => "leave --classes out, or give the labels of these weights",
        Error::OtherArchitecture { .. } => "give the architecture and the options that the weights were saved with",
        _ => return None,
    };
    Some(advice.to_owned())
}

fn of_data(error: &tallow_data::Error) -> Option<String> {
    use tallow_data::Error;
    let advice = match error {
        Error::Decode { .. } | Error::TooLarge { .. } => {
            "repair or remove it, or skip such images by --on-corrupt skip\
             |repair or remove it, or skip such images by --set data.on_corrupt=skip\
             |repair or remove it"
        }
        Error::MissingImages { .. } => {
            "bring them back, or leave them out by --on-corrupt skip\
             |bring them back, or leave them out by --set data.on_corrupt=skip\
             |bring them back"
        }
        Error::MissingFiles { .. } => {
            "to go on without them: --allow-missing-files\
             |to go on without them: --set data.allow_missing_files=true\
             |bring them back"
        }
        Error::AmbiguousFolders { .. } => {
            "rename a folder, or say how to read them: --folder-layout classes\
             |rename a folder, or say how to read them: --set data.folder_layout=classes\
             |rename a folder"
        }
        _ => return None,
    };
    Some(advice.to_owned())
}

fn of_models(error: &tallow_models::Error) -> Option<String> {
    match error {
        tallow_models::Error::UnknownModel { .. } => Some(format!("`{} models` lists them", program::name())),
        _ => None,
    }
}

fn of_run(error: &tallow_run::Error) -> Option<String> {
    use tallow_run::Error;
    let advice = match error {
        Error::RunExists { .. } => {
            "choose another --out, or add --resume to continue what is in it|choose another --out"
        }
        Error::NotARun { .. } => "give the folder that `train --out` named",
        Error::Incomplete { .. } => "run that command again",
        Error::Locked { .. } => "wait until it has ended",
        Error::NoCheckpoint { .. } => "continue it with `train --resume --out`",
        Error::OtherSplit { .. } => "bring them back, or start a new run",
        Error::Io { source, .. } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room, then continue with --resume|make room",
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "choose a folder that may be written to",
            _ => return None,
        },
        _ => return None,
    };
    Some(advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn advice_is_found_below_transparent_errors_and_contexts() {
        let exists = || tallow_run::Error::RunExists { path: "runs/a".into() };
        let nested = tallow_train::Error::Infer(tallow_infer::Error::Run(exists()));
        for error in [anyhow::Error::from(exists()), anyhow::Error::from(nested).context("fold 3")] {
            let advice = advice_for(&error, &flags(&["out", "resume"])).unwrap_or_default();
            assert!(advice.contains("--resume"), "{error:#}: {advice}");
            // `prune` writes a run, and does not resume one.
            assert_eq!(advice_for(&error, &flags(&["out"])).as_deref(), Some("choose another --out"));
        }
    }

    #[test]
    fn no_advice_names_a_flag_that_the_command_lacks() {
        let error = || tallow_data::Error::Decode { path: "x.png".into(), reason: "empty".into() };
        for (found, expected) in [
            (&["on-corrupt", "set"][..], "--on-corrupt skip"),
            (&["set"], "--set data.on_corrupt=skip"),
            (&["topk"], "repair or remove it"),
        ] {
            let advice = advice_for(&error().into(), &flags(found)).unwrap_or_default();
            assert!(advice.ends_with(expected), "{found:?}: {advice}");
        }
    }
}
