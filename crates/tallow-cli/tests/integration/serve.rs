//! `tallow serve` as its user runs it: it says of a picture what `predict` says, and ends at a signal.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

fn tallow(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallow"));
    command.current_dir(folder).args(args);
    command
}

#[test]
fn a_served_run_says_what_predict_says() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path();
    let train = ["train", "--quiet", "--model", "small_cnn", "--set", "train.epochs=1", "--set", "model.width=4"];
    let trained = tallow(folder, &train).args(["--out", "a"]).output()?;
    ensure!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let picture = image::GrayImage::from_fn(28, 28, |x, y| image::Luma([(9 * x + y) as u8]));
    picture.save(folder.join("x.png"))?;
    image::imageops::flip_horizontal(&picture).save(folder.join("mirrored.png"))?;
    let predict = |image: &str, tta: &str| -> Result<serde_json::Value> {
        let output = tallow(folder, &["predict", "a", image, "--tta", tta, "--format", "json"]).output()?;
        let mut said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(said[0]["classes"].take())
    };
    let predicted = predict("x.png", "none")?;
    let first = |classes: &serde_json::Value| classes[0]["probability"].as_f64().unwrap_or_default();
    ensure!((first(&predicted) - first(&predict("mirrored.png", "none")?)).abs() > 1e-3, "{predicted}");
    let both = predict("x.png", "hflip")?;
    ensure!((first(&both) - first(&predict("mirrored.png", "hflip")?)).abs() < 1e-5, "{both}");

    let mut server =
        tallow(folder, &["serve", "a", "--tta", "none", "--addr", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn()?;
    let mut printed = BufReader::new(server.stdout.take().context("stdout")?);
    let mut line = String::new();
    printed.read_line(&mut line)?;
    let at = line.split(" at ").nth(1).and_then(|rest| rest.split(',').next()).with_context(|| line.clone())?;
    let answer = ureq::post(format!("{at}/predict")).send(&std::fs::read(folder.join("x.png"))?[..]);
    ensure!(Command::new("kill").arg(server.id().to_string()).status()?.success());
    let mut rest = String::new();
    printed.read_to_string(&mut rest)?;
    ensure!(server.wait()?.success() && rest == "stopped\n", "{rest}");

    let served: serde_json::Value = serde_json::from_str(&answer?.body_mut().read_to_string()?)?;
    ensure!(served[0]["classes"] == predicted, "{served} {predicted}");
    Ok(())
}
