//! Flags that a command does not have: the error names the `--set` key that does what the flag asks for.

use std::collections::BTreeSet;

use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use tallow_train::keys_named;

use crate::program;

/// Flags of other programs, by the key of the config or the flag that does the same.
const ELSEWHERE: &[(&str, &str)] = &[
    ("learning-rate", "--lr"),
    ("learning_rate", "--lr"),
    ("lr0", "--lr"),
    ("batch", "--batch-size"),
    ("bs", "--batch-size"),
    ("img-size", "--image-size"),
    ("imgsz", "--image-size"),
    ("input-size", "--image-size"),
    ("size", "--image-size"),
    ("num-epochs", "--epochs"),
    ("num-workers", "--workers"),
    ("arch", "--model"),
    ("weights", "--pretrained"),
    ("dataset", "--data"),
    ("data-path", "--data"),
    ("name", "--out"),
    ("output", "--out"),
    ("output-dir", "--out"),
    ("save-dir", "--out"),
    ("wd", "optim.weight_decay"),
    ("opt", "optim.name"),
    ("optimizer", "optim.name"),
    ("sched", "schedule.name"),
    ("scheduler", "schedule.name"),
    ("lr-scheduler", "schedule.name"),
    ("warmup", "schedule.warmup_epochs"),
    ("smoothing", "loss.label_smoothing"),
    ("criterion", "loss.name"),
    ("amp", "--precision"),
    ("mixup", "augment.mix"),
    ("cutmix", "augment.mix"),
    ("model-ema", "train.ema_decay"),
    ("ema", "train.ema_decay"),
    ("clip-grad", "train.clip_norm"),
    ("drop", "model.drop_rate"),
    ("dropout", "model.drop_rate"),
    ("drop-path", "model.drop_path_rate"),
    ("val-split", "data.validation_fraction"),
    ("split", "data.validation_fraction"),
    ("early-stopping", "train.early_stopping.patience"),
    ("freeze-layers", "--freeze"),
];

/// Parses the program's arguments by `command`. What the parser refuses is printed, with the `--set` key that does what an
/// unknown flag asks for, and ends the program.
pub fn matches(command: clap::Command) -> ArgMatches {
    command.try_get_matches().map_err(explained).unwrap_or_else(|error| error.exit())
}

/// The error of the parser, with the key or the flag that does what an unknown flag asks for.
fn explained(mut error: clap::Error) -> clap::Error {
    let unknown = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) => flag.clone(),
        _ => return error,
    };
    let Some(name) = unknown.strip_prefix("--") else { return error };
    let flags = program::flags();
    let suggestions = suggestions(name, &flags);
    if !suggestions.is_empty() {
        let suggestions = suggestions.into_iter().map(Into::into).collect();
        for kind in [ContextKind::SuggestedArg, ContextKind::Suggested, ContextKind::TrailingArg, ContextKind::Usage] {
            error.remove(kind);
        }
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(suggestions));
    }
    error
}

/// What to write instead of the flag `--name`, of a command with these flags.
fn suggestions(name: &str, flags: &BTreeSet<String>) -> Vec<String> {
    let has = |flag: &str| flags.contains(flag.trim_start_matches('-'));
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name).map(|(_, here)| vec![(*here).to_owned()]);
    let near_flag = || tallow_base::nearest::nearest(name, flags.iter().map(String::as_str)).map(|f| format!("--{f}"));
    let keys = || match near_flag() {
        Some(_) => Vec::new(), // clap suggests it
        None => keys_named(name),
    };
    elsewhere
        .unwrap_or_else(keys)
        .into_iter()
        .filter_map(|here| match here.starts_with("--") {
            true => has(&here).then(|| format!("use '{here}'")),
            false => has("--set").then(|| format!("use '--set {here}=VALUE' (docs/train.md lists all keys)")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_does_not_exist_is_answered_with_its_key() {
        let flags = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let train = flags(&["set", "lr", "batch-size", "image-size", "epochs"]);
        for (name, part) in [
            ("weight-decay", "--set optim.weight_decay="),
            ("momentum", "--set optim.momentum="),
            ("label-smoothing", "--set loss.label_smoothing="),
            ("patience", "--set train.early_stopping.patience="),
            ("learning-rate", "'--lr'"),
            ("imgsz", "'--image-size'"),
            ("warmup", "--set schedule.warmup_epochs="),
        ] {
            let found = suggestions(name, &train);
            assert!(found.iter().any(|found| found.contains(part)), "{name}: {found:?}");
        }
        // A command without --set, or without the flag, is told nothing that it would refuse.
        assert_eq!(suggestions("weight-decay", &flags(&["topk"])), [""; 0]);
        assert_eq!(suggestions("learning-rate", &flags(&["set"])), [""; 0]);
        assert_eq!(suggestions("frobnicate", &train), [""; 0]);
    }
}
