//! The program's name: messages and help show the command as the user types it.

use std::sync::OnceLock;

static NAME: OnceLock<&'static str> = OnceLock::new();

/// Sets the name under which the commands are run: `tallow`, or `cargo xtask` in a clone of the repository.
pub(crate) fn set_name(name: &'static str) {
    let _ = NAME.set(name);
}

/// How the user starts a command: `tallow`, or `cargo xtask`.
pub fn name() -> &'static str {
    NAME.get().unwrap_or(&"tallow")
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
    #[test]
    fn help_shows_the_name_that_the_user_types() {
        let command = clap::Command::new("cargo xtask").after_help("Examples:\n  tallow train").subcommand(
            clap::Command::new("train")
                .about("Start with `tallow train`")
                .arg(clap::Arg::new("x").help("see tallow models")),
        );
        let mut renamed = super::rename(command, "cargo xtask");
        let help = renamed.render_help().to_string();
        assert!(help.contains("  cargo xtask train") && !help.contains("tallow "), "{help}");
        let train =
            renamed.find_subcommand_mut("train").map(|train| train.render_help().to_string()).unwrap_or_default();
        assert!(train.contains("`cargo xtask train`") && train.contains("see cargo xtask models"), "{train}");
    }
}
