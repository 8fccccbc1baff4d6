//! Commands that train load `transfer.pretrained`: weights that do not exist stop them before they train anything.

use std::process::Command;

use anyhow::{Result, ensure};

/// The error of a command that must fail.
fn fails(arguments: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_tallow")).args(arguments).output()?;
    ensure!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn weights_that_do_not_exist_stop_searches_and_sweeps() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (space, out, curve) = (path("space.toml"), path("search"), path("lr.svg"));
    std::fs::write(
        &space,
        r#"
            recipe = "linear-probe"
            set = ["model.name=small_cnn", "train.epochs=1"]
            [study]
            trials = 1
            [space]
            "optim.lr" = { low = 0.01, high = 1.0, log = true }
        "#,
    )?;
    let weights = format!("transfer.pretrained={}", path("nowhere"));
    for arguments in [
        &["tune", &space, "--out", &out, "--set", &weights][..],
        &["lr-find", "--recipe", "linear-probe", "--model", "small_cnn", "--set", &weights, "--out", &curve],
        &["train", "--recipe", "linear-probe", "--model", "small_cnn", "--set", &weights, "--out", &out],
        &["crossval", "--recipe", "linear-probe", "--model", "small_cnn", "--set", &weights, "--out", &out],
    ] {
        let error = fails(arguments)?;
        ensure!(error.contains("nowhere: there is no such file or folder"), "{arguments:?}: {error}");
    }
    ensure!(!folder.path().join("search").exists() && !folder.path().join("lr.svg").exists());
    Ok(())
}
