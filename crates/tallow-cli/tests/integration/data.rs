//! `tallow data` describes a dataset whatever is wrong with it; the keys that it names hold in training and prediction.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use serde_json::Value;

/// The standard output and the standard error.
fn tallow(arguments: &[&str]) -> Result<(String, String)> {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_tallow")).args(arguments).output()?;
    let stderr = String::from_utf8(stderr)?;
    ensure!(status.success(), "{arguments:?}: {stderr}");
    Ok((String::from_utf8(stdout)?, stderr))
}

fn holds(text: &str, parts: &[&str]) -> Result<()> {
    parts.iter().try_for_each(|part| {
        ensure!(text.contains(part), "`{part}` is not in: {text}");
        Ok(())
    })
}

#[test]
fn a_description_lists_problems_and_training_names_what_to_do() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let picture = image::RgbImage::from_pixel(8, 6, image::Rgb([9, 9, 9]));
    for name in ["a.png", "b.png"] {
        picture.save(dir.path().join(name))?;
    }
    std::fs::write(dir.path().join("c.png"), "damaged")?;
    let list = dir.path().join("list.csv");
    std::fs::write(&list, "photo;breed\na.png;dog\nb.png;cat\nc.png;cat\ngone.png;dog\n")?;
    let spec = list.to_string_lossy().into_owned();
    let columns = ["--columns", "path=photo,label=breed"];
    let (text, _) = tallow(&[&["data", spec.as_str()], &columns[..]].concat())?;
    holds(&text, &["3 images, 2 classes", "1 cannot be read", "c.png", "no file for 1 of 4 lines: line 5: gone.png"])?;
    let stopped = tallow(&[&["data", spec.as_str(), "--on-corrupt", "stop"], &columns[..]].concat());
    holds(&stopped.map(|_| ()).unwrap_err().to_string(), &["gone.png"])?;
    let stopped = tallow(&[&["train", "--data", spec.as_str(), "--quiet"], &columns[..]].concat());
    holds(&stopped.map(|_| ()).unwrap_err().to_string(), &["1 of 4 lines", "gone.png", "--on-corrupt skip"])?;

    std::fs::create_dir(dir.path().join("one"))?;
    std::fs::create_dir(dir.path().join("one/cat"))?;
    picture.save(dir.path().join("one/cat/1.png"))?;
    let one = dir.path().join("one").to_string_lossy().into_owned();
    holds(&tallow(&["data", &one])?.0, &["note: there is one class only, `cat`"])?;
    let stopped = tallow(&["train", "--data", &one, "--quiet"]);
    holds(&stopped.map(|_| ()).unwrap_err().to_string(), &["one class only, `cat`"])
}

/// 12-bit images of two classes that differ in their low bits alone.
fn deep_pictures(folder: &Path) -> Result<()> {
    for (class, level) in [("dark", 300u16), ("light", 400)] {
        std::fs::create_dir_all(folder.join(class))?;
        for i in 0..12u16 {
            let picture = image::ImageBuffer::from_fn(16, 16, |x, y| image::Luma([level + i + (x + y) as u16 % 3]));
            image::DynamicImage::ImageLuma16(picture).save(folder.join(class).join(format!("{i}.png")))?;
        }
    }
    Ok(())
}

#[test]
fn the_bit_depth_of_training_holds_in_prediction() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    deep_pictures(&data)?;
    let (spec, run) = (data.to_string_lossy().into_owned(), dir.path().join("run").to_string_lossy().into_owned());
    let (text, _) = tallow(&[
        "train",
        "--data",
        &spec,
        "--out",
        &run,
        "--model",
        "small_cnn",
        "--set",
        "model.width=8",
        "--set",
        "train.epochs=6",
        "--set",
        "train.batch_size=8",
        "--set",
        "data.bit_depth=9",
    ])?;
    ensure!(!text.contains("bit_depth = "), "{text}");
    let answers = |class: &str| -> Result<Value> {
        let image = data.join(class).join("3.png").to_string_lossy().into_owned();
        Ok(serde_json::from_str(&tallow(&["predict", &run, &image, "--format", "json"])?.0)?)
    };
    let (dark, light) = (answers("dark")?, answers("light")?);
    // Without the rule both images are 1 everywhere, and get the same answer.
    ensure!(dark[0]["classes"] != light[0]["classes"], "{dark} {light}");
    Ok(())
}
