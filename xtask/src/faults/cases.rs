//! The commands that write, with the arguments that start them and start them again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use image::{GrayImage, Luma};

use super::run::Program;

/// A command that writes into a folder.
pub struct Case {
    /// Its name in the table.
    pub name: &'static str,
    /// A prepared folder that it starts from; otherwise the folder is absent.
    template: Option<&'static str>,
    /// Its arguments.
    pub arguments: fn(&Work, &Path) -> Vec<String>,
    /// The arguments that start it again after a disturbance; `None` if it has come to its end.
    pub again: fn(&Work, &Path) -> Option<Vec<String>>,
}

/// The commands.
pub fn all() -> Vec<Case> {
    let same = |name, arguments, again| Case { name, template: None, arguments, again };
    vec![
        same("train", train, |work, out| {
            Some(if is_run(out) { words(&["train", "--quiet", "--resume", "--out"], out) } else { train(work, out) })
        }),
        Case {
            name: "train --resume",
            template: Some("half"),
            arguments: |_, out| {
                let mut all = words(&["train", "--quiet", "--resume", "--out"], out);
                all.extend(["--set", "train.epochs=4"].map(str::to_owned));
                all
            },
            again: |_, out| {
                let mut all = words(&["train", "--quiet", "--resume", "--out"], out);
                all.extend(["--set", "train.epochs=4"].map(str::to_owned));
                Some(all)
            },
        },
        same("crossval", crossval, |work, out| {
            let mut all = crossval(work, out);
            all.extend(out.join("folds.csv").is_file().then(|| "--resume".to_owned()));
            Some(all)
        }),
        Case {
            name: "evaluate",
            template: Some("a"),
            arguments: |_, out| words(&["evaluate", "--split", "train", "--tta", "hflip"], out),
            again: |_, out| Some(words(&["evaluate", "--split", "train", "--tta", "hflip"], out)),
        },
        same("ensemble", ensemble, |work, out| unless_complete(out, "ensemble.toml", ensemble(work, out))),
        same("prune", prune, |work, out| unless_complete(out, "config.toml", prune(work, out))),
        same("export", export, |work, out| Some(export(work, out))),
        same("export onnx", export_onnx, |work, out| Some(export_onnx(work, out))),
        same("data convert", convert, |work, out| {
            // It refuses a folder in which it has come to its end.
            Some(convert(work, out)).filter(|_| !out.join("complete").is_file())
        }),
        same("lr-find", lr_find, |work, out| Some(lr_find(work, out))),
        same("tune", tune, |work, out| Some(tune(work, out))),
        same("audit", audit, |work, out| Some(audit(work, out))),
    ]
}

fn words(before: &[&str], out: &Path) -> Vec<String> {
    before.iter().map(|word| (*word).to_owned()).chain([out.display().to_string()]).collect()
}

/// Settings of a short run.
const SHORT: [&str; 10] = [
    "--model",
    "small_cnn",
    "--set",
    "train.batch_size=8",
    "--set",
    "train.checkpoint_every_steps=3",
    "--set",
    "train.ema_decay=0.9",
    "--set",
    "data.validation_fraction=0.25",
];

fn train(work: &Work, out: &Path) -> Vec<String> {
    let data = work.at("pictures").display().to_string();
    let mut all = vec!["train", "--quiet", "--data", &data, "--set", "train.epochs=3"];
    all.extend(SHORT);
    all.push("--out");
    words(&all, out)
}

fn crossval(work: &Work, out: &Path) -> Vec<String> {
    let data = work.at("pictures").display().to_string();
    let mut all = vec!["crossval", "--quiet", "--folds", "2", "--data", &data, "--set", "train.epochs=2"];
    all.extend(SHORT);
    all.push("--out");
    words(&all, out)
}

fn ensemble(work: &Work, out: &Path) -> Vec<String> {
    let (a, b) = (work.at("a").display().to_string(), work.at("b").display().to_string());
    words(&["ensemble", &a, &b, "--method", "weighted", "--out"], out)
}

fn prune(work: &Work, out: &Path) -> Vec<String> {
    words(&["prune", &work.at("a").display().to_string(), "--ratio", "0.5", "--out"], out)
}

fn export(work: &Work, out: &Path) -> Vec<String> {
    words(&["export", &work.at("a").display().to_string(), "--out"], out)
}

fn export_onnx(work: &Work, out: &Path) -> Vec<String> {
    words(&["export", &work.at("a").display().to_string(), "--out"], &out.join("model.onnx"))
}

fn convert(work: &Work, out: &Path) -> Vec<String> {
    let data = work.at("pictures").display().to_string();
    words(&["data", "convert", &data, "--to", "wds", "--samples-per-file", "20"], out)
}

fn lr_find(work: &Work, out: &Path) -> Vec<String> {
    let data = work.at("pictures").display().to_string();
    let mut all = vec!["lr-find", "--data", &data, "--steps", "30"];
    all.extend(&SHORT[..2]);
    all.push("--out");
    words(&all, &out.join("lr.svg"))
}

fn tune(work: &Work, out: &Path) -> Vec<String> {
    let (space, data) = (work.at("space.toml").display().to_string(), work.at("pictures").display().to_string());
    words(&["tune", &space, "--data", &data, "--model", "small_cnn", "--out"], out)
}

fn audit(work: &Work, out: &Path) -> Vec<String> {
    words(&["audit", &work.at("pictures").display().to_string(), "--apply", "--out"], out)
}

fn is_run(out: &Path) -> bool {
    out.join("config.toml").is_file() && !out.join(".incomplete").is_file()
}

fn unless_complete(out: &Path, last: &str, arguments: Vec<String>) -> Option<Vec<String>> {
    let complete = out.join(last).is_file() && !out.join(".incomplete").is_file();
    (!complete).then_some(arguments)
}

/// The folder of all runs, and the program.
pub struct Work {
    folder: PathBuf,
    pub program: Program,
}

impl Work {
    /// Empties the folder, draws pictures, and trains the runs that commands start from.
    pub fn prepare(folder: &Path, file: PathBuf) -> Result<Self> {
        if folder.is_dir() {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let folder = fs::canonicalize(folder)?;
        let work = Self { program: Program { file, folder: folder.clone() }, folder };
        for (class, horizontal) in [("across", true), ("down", false)] {
            fs::create_dir_all(work.at("pictures").join(class))?;
            for i in 0..48u32 {
                let stripe = |x: u32, y: u32| if (if horizontal { y } else { x } + i) % 4 < 2 { 200 } else { 20 };
                let picture = GrayImage::from_fn(16, 16, |x, y| Luma([stripe(x, y) + (7 * i % 50) as u8]));
                picture.save(work.at("pictures").join(class).join(format!("{i}.png")))?;
            }
        }
        let space = "set = [\"train.epochs=2\", \"train.batch_size=16\"]\n[study]\nmethod = \"random\"\ntrials = 3\n\
                     [space]\n\"optim.lr\" = { low = 0.01, high = 0.3, log = true }\n";
        fs::write(work.at("space.toml"), space)?;
        for (name, setting) in [("a", "train.seed=0"), ("b", "optim.lr=0.1"), ("half", "train.epochs=2")] {
            let mut all = train(&work, &work.at(name));
            all.extend(["--set", setting].map(str::to_owned));
            let ended = work.program.start(&all, &[])?.wait()?;
            ensure!(ended.success(), "train {name}: {ended}");
        }
        Ok(work)
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A folder for a command to write: as its template, or absent.
    pub fn fresh(&self, case: &Case, name: &str) -> Result<PathBuf> {
        let folder = self.at(name).join(case.name.replace(' ', "_"));
        if folder.is_dir() {
            fs::remove_dir_all(&folder)?;
        }
        self.fill(case, &folder)?;
        Ok(folder)
    }

    /// Copies a command's template to `folder`, and makes the folders that the command does not make.
    pub fn fill(&self, case: &Case, folder: &Path) -> Result<()> {
        let parent = if ["export onnx", "lr-find"].contains(&case.name) { Some(folder) } else { folder.parent() };
        fs::create_dir_all(parent.unwrap_or(folder))?;
        match self.template(case) {
            Some(template) => copy(&template, folder),
            None => Ok(()),
        }
    }

    /// The folder that a command starts from.
    pub fn template(&self, case: &Case) -> Option<PathBuf> {
        case.template.map(|template| self.at(template))
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        match path.is_dir() {
            true => copy(&path, &to.join(name))?,
            false => fs::copy(&path, to.join(name)).map(|_| ())?,
        }
    }
    Ok(())
}
