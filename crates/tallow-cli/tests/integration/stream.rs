//! Training from a stream of shards: the weights of a run from the index, also where it was killed and continued; what a
//! stream cannot do says so.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

/// Two classes of 48 small pictures each, as shards of 20.
fn shards(folder: &Path) -> Result<()> {
    for (class, horizontal) in [("across", true), ("down", false)] {
        std::fs::create_dir_all(folder.join("pictures").join(class))?;
        for i in 0..48u32 {
            let stripe = |x: u32, y: u32| if (if horizontal { y } else { x } + i) % 4 < 2 { 200 } else { 20 };
            let picture = image::GrayImage::from_fn(16, 16, |x, y| image::Luma([stripe(x, y) + (7 * i % 50) as u8]));
            picture.save(folder.join(format!("pictures/{class}/{i}.png")))?;
        }
    }
    tallow(folder, &["data", "convert", "pictures", "shards", "--to", "wds", "--samples-per-file", "20"], "1")?;
    Ok(())
}

/// Runs in `folder`.
fn tallow(folder: &Path, arguments: &[&str], threads: &str) -> Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallow"));
    command.args(arguments).current_dir(folder).env("RAYON_NUM_THREADS", threads);
    let Output { status, stdout, stderr } = command.output()?;
    ensure!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8(stdout)?)
}

fn train<'a>(data: &'a str, out: &'a str, settings: &[&'a str]) -> Vec<&'a str> {
    let common = ["train.epochs=6", "train.batch_size=8", "train.checkpoint_every_steps=5"];
    let start = ["train", "--model", "small_cnn", "--data", data, "--out", out];
    start.into_iter().chain(common.iter().chain(settings).flat_map(|setting| ["--set", *setting])).collect()
}

#[test]
fn a_streamed_run_ends_with_the_weights_of_an_indexed_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    shards(folder)?;
    let data = "shards/train-{000000..000004}.tar";
    let weights = |run: &str| std::fs::read(folder.join(run).join("model.safetensors")).context(run.to_owned());

    tallow(folder, &train(data, "indexed", &["data.sampler={ shards = 1000 }"]), "1")?;
    let said = tallow(folder, &train(data, "streamed", &["data.stream=true", "data.workers=2"]), "2")?;
    ensure!(weights("indexed")? == weights("streamed")?, "a stream gave other weights than the index");
    ensure!(said.contains("96 training images") && said.contains("no validation or test shards"), "{said}");
    let kept = |name: &str| std::fs::read_to_string(folder.join("streamed").join(name)).context(name.to_owned());
    ensure!(kept("split.csv")?.lines().count() == 6, "{}", kept("split.csv")?);
    ensure!(kept("config.toml")?.contains("shards = 1000"), "{}", kept("config.toml")?);

    // Killed shortly after its first checkpoint, in the middle of an epoch.

    let mut child = Command::new(env!("CARGO_BIN_EXE_tallow"))
        .args(train(data, "killed", &["data.stream=true"]))
        .current_dir(folder)
        .stdout(std::process::Stdio::null())
        .spawn()?;
    while !folder.join("killed/checkpoints/last.safetensors").is_file() {
        ensure!(child.try_wait()?.is_none(), "it ended without a checkpoint");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill()?;
    child.wait()?;
    ensure!(!folder.join("killed/model.safetensors").exists(), "it ended before it was killed");
    tallow(folder, &["train", "--resume", "--out", "killed"], "1")?;
    ensure!(weights("killed")? == weights("streamed")?, "the continued run has other weights");

    // Measured on shards of its own; the stream itself has no index to be measured by.
    let fails = |arguments: &[&str], part: &str| -> Result<()> {
        let error = tallow(folder, arguments, "1").err().context(part.to_owned())?.to_string();
        ensure!(error.contains(part), "{part}: {error}");
        Ok(())
    };
    tallow(folder, &["evaluate", "streamed", "--data", data, "--split", "train"], "1")?;
    fails(&["evaluate", "streamed", "--split", "train"], "this run streams its training split")?;
    for (setting, part) in [
        ("data.sampler=class_balanced", "data.sampler"),
        ("data.validation_fraction=0.1", "data.validation_fraction"),
        ("data.cache=cache", "data.cache"),
        ("loss.name=class_balanced", "loss.name"),
        ("data.spec=pictures", "tar shards"),
    ] {
        fails(&train(data, "refused", &["data.stream=true", setting]), part)?;
    }
    fails(&train(data, "refused", &["data.samples_per_epoch=20"]), "data.stream = true")?;
    fails(&["crossval", "--data", data, "--set", "data.stream=true", "--out", "refused"], "data.stream")?;
    ensure!(!folder.join("refused").exists(), "made before it was refused");
    // Other shards than the run began with.
    fails(
        &["train", "--resume", "--out", "streamed", "--data", "shards/train-{000000..000003}.tar"],
        "no longer hold",
    )?;
    Ok(())
}
