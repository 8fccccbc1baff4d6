//! Runs that are refused, damaged, stopped or started twice: nothing is lost, and what did not happen is said.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tallow_run::RunDir;

use crate::kill_and_resume::{pictures, train};

/// All files of a folder by their path.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => {
                found.insert(path.display().to_string(), std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

fn output(mut command: Command) -> Result<(Output, String)> {
    let output = command.stdout(Stdio::piped()).output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output, told))
}

fn resume(out: &Path, options: &[&str]) -> Command {
    let mut command = train(Path::new(""), out, 1, true);
    command.args(options);
    command
}

/// A complete run of two epochs of 12 batches.
fn two_epochs(data: &Path, out: &Path) -> Result<()> {
    let mut command = train(data, out, 1, false);
    command.args(["--set", "train.epochs=2"]);
    ensure!(command.status()?.success());
    Ok(())
}

#[test]
fn a_refused_resume_writes_nothing_and_names_the_key() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, run, other) = (folder.path().join("pictures"), folder.path().join("run"), folder.path().join("other"));
    pictures(&data)?;
    std::fs::create_dir_all(other.join("across"))?;
    std::fs::create_dir_all(other.join("down"))?;
    for class in ["across", "down"] {
        std::fs::copy(data.join(class).join("0.png"), other.join(class).join("new.png"))?;
    }
    two_epochs(&data, &run)?;
    let before = files(&run)?;
    for (options, named) in [
        (vec!["--model", "resnet9"], "model.name"),
        (vec!["--set", "optim.name=adamw"], "optim.name"),
        (vec!["--set", "train.seed=3"], "train.seed"),
        (vec!["--set", "data.sampler=class_balanced"], "data.sampler"),
        (vec!["--set", "train.epochs=1"], "train.epochs"),
        (vec!["--data", other.to_str().context("a path")?], "split.csv"),
    ] {
        let (output, told) = output(resume(&run, &options))?;
        ensure!(output.status.code() == Some(1) && told.contains(named), "{options:?}: {told}");
        ensure!(files(&run)? == before, "{options:?} changed the run");
    }
    // A config that no longer fits the checkpoint, by hand.
    let config = std::fs::read_to_string(run.join("config.toml"))?;
    std::fs::write(
        run.join("config.toml"),
        config.replace("nesterov = true", "nesterov = true\nlookahead = { k = 5 }"),
    )?;
    let edited = files(&run)?;
    let (result, told) = output(resume(&run, &["--set", "train.epochs=3"]))?;
    ensure!(!result.status.success() && told.contains("does not fit"), "{told}");
    ensure!(files(&run)? == edited);
    std::fs::write(run.join("config.toml"), config)?;
    ensure!(resume(&run, &[]).status()?.success(), "it can still be resumed");
    Ok(())
}

#[test]
fn changed_settings_are_told_and_kept_and_the_schedule_ends_where_it_should() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, run) = (folder.path().join("pictures"), folder.path().join("run"));
    pictures(&data)?;
    two_epochs(&data, &run)?;
    let rows = || -> Result<Vec<Vec<String>>> {
        let text = std::fs::read_to_string(run.join("summary.csv"))?;
        Ok(text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect())
    };
    let lr = |rows: &[Vec<String>], epoch: usize| -> Result<f64> { Ok(rows[epoch][5].parse()?) };
    let before = rows()?;
    ensure!(before[0][5] == "lr", "{before:?}");
    let (output, told) =
        output(resume(&run, &["--set", "train.epochs=4", "--set", "train.batch_size=2", "--set", "data.workers=2"]))?;
    ensure!(output.status.success(), "{told}");
    ensure!(told.contains("the learning rate rises from"), "{told}");
    let (after, log) = (rows()?, std::fs::read_to_string(run.join("log.txt"))?);
    for change in ["train.epochs = 4 (was 2)", "train.batch_size = 2 (was 8)", "data.workers = 2 (was 1)"] {
        ensure!(log.contains(change), "{change}: {log}");
        ensure!(std::fs::read_to_string(run.join("config.toml"))?.lines().next().is_some_and(|l| l.contains(change)));
    }
    // The default recipe's cosine ends near 0, whatever the batch size of its last epochs.
    ensure!(lr(&after, 4)? < 0.05 * lr(&after, 3)?, "{after:?}");
    ensure!(after.len() == 5 && after[..3] == before[..], "{after:?}");
    Ok(())
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before_it_and_the_weights_are_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, whole, run) = (folder.path().join("pictures"), folder.path().join("whole"), folder.path().join("run"));
    pictures(&data)?;
    for out in [&whole, &run] {
        two_epochs(&data, out)?;
    }
    // Equal runs write equal files.
    for name in ["last", "previous"] {
        let bytes = |run: &Path| std::fs::read(run.join(format!("checkpoints/{name}.safetensors")));
        ensure!(bytes(&whole)? == bytes(&run)?, "{name} differs");
    }
    let last = run.join("checkpoints/last.safetensors");
    let mut bytes = std::fs::read(&last)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&last, &bytes)?;
    std::fs::remove_file(run.join("model.safetensors"))?;
    let (result, told) = output(resume(&run, &[]))?;
    ensure!(
        result.status.success() && told.contains("checksum") && told.contains("the checkpoint before it"),
        "{told}"
    );
    ensure!(std::fs::read(run.join("checkpoints/damaged.safetensors"))? == bytes);
    let weights = |run: &Path| std::fs::read(run.join("model.safetensors"));
    ensure!(weights(&whole)? == weights(&run)?, "other weights");
    Ok(())
}

#[test]
fn a_run_is_written_by_one_process_at_a_time() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, run) = (folder.path().join("pictures"), folder.path().join("run"));
    pictures(&data)?;
    two_epochs(&data, &run)?;
    let held = RunDir::open_to_write(&run)?;
    let before = files(&run)?;
    let (refused, told) = output(resume(&run, &["--set", "train.epochs=3"]))?;
    ensure!(!refused.status.success() && told.contains("another process"), "{told}");
    ensure!(files(&run)? == before);
    drop(held);
    ensure!(resume(&run, &[]).status()?.success());
    Ok(())
}

#[cfg(unix)]
#[test]
fn signals_end_a_run_with_their_exit_code_and_one_message() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, whole) = (folder.path().join("pictures"), folder.path().join("whole"));
    pictures(&data)?;
    ensure!(train(&data, &whole, 1, false).status()?.success());
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let run = folder.path().join(signal);
        let child = train(&data, &run, 1, false).stderr(Stdio::piped()).spawn()?;
        let started = Instant::now();
        while !run.join("checkpoints/last.safetensors").is_file() {
            ensure!(started.elapsed() < Duration::from_secs(60), "no checkpoint after a minute");
            std::thread::sleep(Duration::from_millis(1));
        }
        ensure!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status()?.success());
        let ended = child.wait_with_output()?;
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.code() == Some(code), "{signal}: {:?}: {told}", ended.status);
        ensure!(told.lines().count() == 1 && told.contains("continue with:") && !told.contains("error"), "{told}");
        ensure!(resume(&run, &[]).status()?.success());
        let weights = |run: &Path| std::fs::read(run.join("model.safetensors"));
        ensure!(weights(&whole)? == weights(&run)?, "{signal}: other weights");
    }
    Ok(())
}
