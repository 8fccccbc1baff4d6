//! The program's name and its running command: messages and help show the command as the user types it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::OnceLock;

use clap::Subcommand as _;

static NAME: OnceLock<&'static str> = OnceLock::new();

/// Sets the name under which the commands are run: `tallow`, or `cargo xtask` in a clone of the repository.
pub(crate) fn set_name(name: &'static str) {
    let _ = NAME.set(name);
}

/// How the user starts a command: `tallow`, or `cargo xtask`.
pub fn name() -> &'static str {
    NAME.get().unwrap_or(&"tallow")
}

/// The long flags of the running command, without dashes; none if no command is running.
pub(crate) fn flags() -> BTreeSet<String> {
    flags_of(std::env::args_os().skip(1))
}

fn flags_of(arguments: impl Iterator<Item = OsString>) -> BTreeSet<String> {
    let commands = crate::Command::augment_subcommands(clap::Command::new("tallow"));
    let mut names = arguments.filter_map(|argument| argument.into_string().ok());
    let running = names.find_map(|name| commands.find_subcommand(name));
    let arguments = running.into_iter().flat_map(clap::Command::get_arguments);
    arguments.filter_map(|argument| argument.get_long()).map(str::to_owned).collect()
}

/// Whether every flag that `text` names is one of `flags`. Those between backticks belong to the command that stands there.
pub(crate) fn names_only(text: &str, flags: &BTreeSet<String>) -> bool {
    let outside = text.split('`').step_by(2).flat_map(|part| part.split([' ', ',', ';', ':', '.', '=', '(', ')']));
    outside.filter_map(|word| word.strip_prefix("--")).all(|flag| flags.contains(flag))
}

/// Replaces `tallow COMMAND` by `NAME COMMAND` in the help of `command` and its subcommands.
pub fn rename(mut command: clap::Command, name: &str) -> clap::Command {
    let renamed = |text: &clap::builder::StyledStr| text.to_string().replace("tallow ", &format!("{name} "));
    if let Some(text) = command.get_about().map(renamed) {
        command = command.about(text);
    }
    if let Some(text) = command.get_long_about().map(renamed) {
        command = command.long_about(text);
    }
    if let Some(text) = command.get_after_help().map(renamed) {
        command = command.after_help(text);
    }
    command = command.mut_args(|mut arg| {
        if let Some(text) = arg.get_help().map(renamed) {
            arg = arg.help(text);
        }
        if let Some(text) = arg.get_long_help().map(renamed) {
            arg = arg.long_help(text);
        }
        arg
    });
    command.mut_subcommands(|subcommand| rename(subcommand, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_flags_of_the_running_command() {
        let flags = |arguments: &[&str]| flags_of(arguments.iter().map(Into::into));
        let (train, predict) = (flags(&["train", "--data", "predict"]), flags(&["predict", "x"]));
        let hint = "repair it, or skip such images by --on-corrupt skip";
        assert!(names_only(hint, &train) && !names_only(hint, &predict));
        assert!(names_only("continue it with `train --resume`", &predict));
        assert!(names_only("no flag", &flags(&[])));
    }

    #[test]
    fn help_shows_the_name_that_the_user_types() {
        let command = clap::Command::new("cargo xtask").after_help("Examples:\n  tallow train").subcommand(
            clap::Command::new("train")
                .about("Start with `tallow train`")
                .arg(clap::Arg::new("x").help("see tallow models")),
        );
        let mut renamed = rename(command, "cargo xtask");
        let help = renamed.render_help().to_string();
        assert!(help.contains("  cargo xtask train") && !help.contains("tallow "), "{help}");
        let train =
            renamed.find_subcommand_mut("train").map(|train| train.render_help().to_string()).unwrap_or_default();
        assert!(train.contains("`cargo xtask train`") && train.contains("see cargo xtask models"), "{train}");
    }
}
