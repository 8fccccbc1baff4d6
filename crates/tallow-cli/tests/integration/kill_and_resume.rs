//! A run that is killed at some step and continued, on any number of threads, ends with the weights of one that was not.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// Two classes of 48 small pictures each, told apart by the direction of their stripes.
pub fn pictures(folder: &Path) -> Result<()> {
    for (class, horizontal) in [("across", true), ("down", false)] {
        std::fs::create_dir_all(folder.join(class))?;
        for i in 0..48u32 {
            let stripe = |x: u32, y: u32| if (if horizontal { y } else { x } + i) % 4 < 2 { 200 } else { 20 };
            let picture = image::GrayImage::from_fn(16, 16, |x, y| image::Luma([stripe(x, y) + (7 * i % 50) as u8]));
            picture.save(folder.join(class).join(format!("{i}.png")))?;
        }
    }
    Ok(())
}

pub fn train(data: &Path, out: &Path, threads: usize, resume: bool) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallow"));
    command.args(["train", "--quiet", "--out"]).arg(out).env("RAYON_NUM_THREADS", threads.to_string());
    if resume {
        command.arg("--resume");
    } else {
        command.arg("--data").arg(data).args(["--model", "small_cnn"]);
        for setting in ["train.epochs=6", "train.batch_size=8", "train.ema_decay=0.9", "train.checkpoint_every_steps=3"]
        {
            command.args(["--set", setting]);
        }
    }
    command.stdout(Stdio::null());
    command
}

#[test]
fn a_killed_run_ends_with_the_same_weights() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("pictures");
    pictures(&data)?;
    let weights = |run: &str| std::fs::read(folder.path().join(run).join("model.safetensors")).context(run.to_owned());

    for (run, threads) in [("whole", 1), ("threads2", 2), ("threads4", 4)] {
        ensure!(train(&data, &folder.path().join(run), threads, false).status()?.success(), "{run}");
    }
    ensure!(weights("whole")? == weights("threads2")?, "2 threads gave other weights than 1");
    ensure!(weights("whole")? == weights("threads4")?, "4 threads gave other weights than 1");

    // Killed where it happens to be, shortly after its first checkpoint; continued on another number of threads.
    let killed = folder.path().join("killed");
    let mut child = train(&data, &killed, 2, false).spawn()?;
    let started = Instant::now();
    while !killed.join("checkpoints/last.safetensors").is_file() {
        ensure!(started.elapsed() < Duration::from_secs(60), "no checkpoint after a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill()?; // SIGKILL
    child.wait()?;
    ensure!(!killed.join("model.safetensors").exists(), "it ended before it was killed");
    ensure!(train(&data, &killed, 1, true).status()?.success(), "resume");
    ensure!(weights("whole")? == weights("killed")?, "the continued run has other weights");
    Ok(())
}
