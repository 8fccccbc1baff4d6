//! `predict` on real files: folders, patterns, lists; bad files among good ones; every format.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A run that was trained for a moment, once for all tests.
fn run() -> &'static Path {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, run) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let run = folder.path().join("run");
        let output = tallow(
            &[
                "train",
                "--model",
                "small_cnn",
                "--epochs",
                "1",
                "--set",
                "data.validation_fraction=0.95",
                "--out",
                text(&run),
            ],
            "",
        );
        let output = output.expect("tallow");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (folder, run)
    });
    run
}

fn tallow(arguments: &[&str], stdin: &str) -> Result<Output> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tallow"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let _ = child.stdin.take().context("stdin")?.write_all(stdin.as_bytes()); // it may not be read
    Ok(child.wait_with_output()?)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Twelve pictures in two folders, a text file, and a damaged picture.
fn pictures(folder: &Path) -> Result<()> {
    for (sub, side) in [("a", 28), ("a/deep", 40)] {
        std::fs::create_dir_all(folder.join(sub))?;
        for i in 1..=6u32 {
            let picture = image::GrayImage::from_fn(side, side, |x, y| image::Luma([(x * i + y) as u8]));
            picture.save(folder.join(sub).join(format!("{i}.png")))?;
        }
    }
    std::fs::write(folder.join("a/bad.PNG"), "not a picture")?;
    std::fs::write(folder.join("a/notes.txt"), "not a picture")?;
    Ok(())
}

/// The rows of a prediction as JSON lines: the file's name below the folder, and its first label or `error`.
fn rows(output: &Output, folder: &Path) -> Result<Vec<(String, String)>> {
    let stdout = std::str::from_utf8(&output.stdout)?;
    let row = |line: &str| -> Result<(String, String)> {
        let row: Value = serde_json::from_str(line)?;
        let image = Path::new(row["image"].as_str().context("an image")?).to_owned();
        let image = image.strip_prefix(folder).unwrap_or(&image).display().to_string();
        let label = row["classes"][0]["label"].as_str().map(str::to_owned);
        ensure!(label.is_some() != row["error"].is_string(), "{row}");
        Ok((image, label.unwrap_or_else(|| "error".into())))
    };
    stdout.lines().map(row).collect()
}

#[test]
fn a_folder_is_answered_in_order_with_a_row_for_the_bad_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    pictures(folder.path())?;
    let output = tallow(&["predict", text(run()), text(folder.path()), "--format", "jsonl"], "")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    ensure!(stderr.contains("error: 1 of 13 images could not be classified"), "{stderr}");
    ensure!(stderr.contains("1 files are not images by their names"), "{stderr}");
    ensure!(!stderr.contains("--on-corrupt"), "predict has no such flag: {stderr}");
    let rows = rows(&output, folder.path())?;
    let numbered = |sub: &str| (1..=6).map(|i| format!("{sub}{i}.png")).collect::<Vec<_>>();
    let names: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, [numbered("a/"), vec!["a/bad.PNG".into()], numbered("a/deep/")].concat());
    assert_eq!(rows.iter().filter(|(_, label)| label == "error").count(), 1);
    Ok(())
}

#[test]
fn batches_give_what_single_images_give_and_evaluate_agrees() -> Result<()> {
    let folder = tempfile::tempdir()?;
    pictures(folder.path())?;
    std::fs::remove_file(folder.path().join("a/bad.PNG"))?;
    let all = tallow(&["predict", text(run()), text(folder.path()), "--format", "csv"], "")?;
    ensure!(all.status.success(), "{}", String::from_utf8_lossy(&all.stderr));
    let all = String::from_utf8(all.stdout)?;
    let mut one_by_one = String::new();
    for (at, image) in all.lines().skip(1).step_by(5).filter_map(|line| line.split(',').next()).enumerate() {
        let one = String::from_utf8(tallow(&["predict", text(run()), image, "--format", "csv"], "")?.stdout)?;
        one.lines().skip(usize::from(at > 0)).for_each(|line| one_by_one += &format!("{line}\n"));
    }
    assert_eq!(all, one_by_one);
    Ok(())
}

#[test]
fn patterns_lists_and_stdin_name_the_same_images() -> Result<()> {
    let folder = tempfile::tempdir()?;
    pictures(folder.path())?;
    let names: Vec<String> =
        (1..=6).map(|i| folder.path().join(format!("a/deep/{i}.png")).display().to_string()).collect();
    let list = folder.path().join("list.txt");
    std::fs::write(&list, names.join("\r\n"))?;
    let pattern = folder.path().join("a/deep/*.png");
    let predict = |arguments: &[&str], stdin: &str| -> Result<String> {
        let arguments = [&["predict", text(run())], arguments, &["--format", "jsonl"]].concat();
        let output = tallow(&arguments, stdin)?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let expected = predict(&names.iter().map(String::as_str).collect::<Vec<_>>(), "")?;
    assert_eq!(expected.lines().count(), 6);
    for (arguments, stdin) in [
        (&[text(&pattern)][..], String::new()),
        (&["-"], names.join("\n")),
        (&["--list", text(&list)], String::new()),
        (&["--list", "-"], names.join("\n") + "\n\n"),
    ] {
        assert_eq!(predict(arguments, &stdin)?, expected, "{arguments:?}");
    }
    Ok(())
}

#[test]
fn rows_come_before_the_list_ends() -> Result<()> {
    use std::io::BufRead as _;
    let folder = tempfile::tempdir()?;
    pictures(folder.path())?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_tallow"))
        .args(["predict", text(run()), "-", "--format", "jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut names = child.stdin.take().context("stdin")?;
    let mut rows = std::io::BufReader::new(child.stdout.take().context("stdout")?).lines();
    for i in 1..=3 {
        writeln!(names, "{}", folder.path().join(format!("a/{i}.png")).display())?;
        // Without an answer, this waits for ever.
        let row = rows.next().context("a row")??;
        ensure!(row.contains(&format!("{i}.png")), "{row}");
    }
    drop(names);
    ensure!(child.wait()?.success());
    Ok(())
}

#[test]
fn json_and_csv_hold_rows_and_errors() -> Result<()> {
    let folder = tempfile::tempdir()?;
    pictures(folder.path())?;
    let (good, bad, absent) =
        (folder.path().join("a/1.png"), folder.path().join("a/bad.PNG"), folder.path().join("no.png"));
    let images = [text(&good), text(&bad), text(&absent)];
    for format in ["json", "csv", "text"] {
        let arguments = [&["predict", text(run())][..], &images, &["--topk", "2", "--format", format]].concat();
        let output = tallow(&arguments, "")?;
        assert_eq!(output.status.code(), Some(1));
        let stdout = String::from_utf8(output.stdout)?;
        match format {
            "json" => {
                let rows: Vec<Value> = serde_json::from_str(&stdout)?;
                assert_eq!(rows[0]["classes"].as_array().map(Vec::len), Some(2));
                ensure!(rows[1]["error"].as_str().is_some_and(|e| e.contains("cannot be decoded")), "{stdout}");
                ensure!(rows[2]["error"].as_str().is_some_and(|e| e.contains("No such file")), "{stdout}");
            }
            "csv" => {
                let lines: Vec<&str> = stdout.lines().collect();
                assert_eq!((lines.len(), lines[0]), (5, "image,rank,label,probability,error"));
                ensure!(lines[3].starts_with(&format!("{},,,,", images[1])), "{stdout}");
            }
            _ => ensure!(stdout.matches("  error: ").count() == 2, "{stdout}"),
        }
    }
    Ok(())
}

#[test]
fn images_are_sorted_into_folders_of_their_classes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, sorted) = (folder.path().join("data"), folder.path().join("sorted"));
    pictures(&data)?;
    let arguments = ["predict", text(run()), text(&data), "--format", "jsonl", "--sort-into", text(&sorted)];
    let output = tallow(&arguments, "")?;
    assert_eq!(output.status.code(), Some(1));
    for (image, label) in rows(&output, &data)?.into_iter().filter(|(_, label)| label != "error") {
        let name = Path::new(&image).file_name().context("a name")?.to_owned();
        let class = sorted.join(label.replace('/', "_"));
        let (original, copy) = (std::fs::read(data.join(&image))?, std::fs::read(class.join(&name))?);
        let second = Path::new(&name).with_extension("");
        let second = class.join(format!("{}-2.png", second.display()));
        ensure!(original == copy || std::fs::read(second)? == original, "{image}");
    }
    let again = tallow(&arguments, "")?;
    let stderr = String::from_utf8_lossy(&again.stderr).into_owned();
    ensure!(stderr.contains("expected an empty or absent folder"), "{stderr}");
    Ok(())
}

#[test]
fn a_wrong_classes_json_is_blamed_on_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    pictures(folder.path())?;
    let copy = folder.path().join("run");
    std::fs::create_dir_all(copy.join("checkpoints"))?;
    for file in ["config.toml", "classes.json"] {
        std::fs::copy(run().join(file), copy.join(file))?;
    }
    for entry in std::fs::read_dir(run().join("checkpoints"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), copy.join("checkpoints").join(entry.file_name()))?;
    }
    let mut classes: Vec<String> = serde_json::from_str(&std::fs::read_to_string(copy.join("classes.json"))?)?;
    classes.pop();
    std::fs::write(copy.join("classes.json"), serde_json::to_string(&classes)?)?;
    let output = tallow(&["predict", text(&copy), text(&folder.path().join("a/1.png"))], "")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(stderr.contains("classes.json: expected 10 class names") && !stderr.contains("1.png"), "{stderr}");
    Ok(())
}
