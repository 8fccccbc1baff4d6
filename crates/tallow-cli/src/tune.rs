//! `tallow tune`: a search-space file → trials, each in its own run directory → the best config as a recipe.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tallow_metrics::Evaluation;
use tallow_run::RunLock;
use tallow_train::trial::check_pretrained;
use tallow_train::{FitOptions, RunConfig, Setting, load, train_trial};
use tallow_tune::space::{Domain, short};
use tallow_tune::{Next, Point, PrunerConfig, Space, State, Store, Study, StudyConfig, Trial, importance, plots};

use crate::interrupt::{Interrupted, STOP, in_order};
use crate::options::set;
use crate::program;

#[derive(clap::Args)]
#[command(after_help = r#"A space file:
  recipe = "fast"                         # the base of every trial
  set = ["train.epochs=9"]
  [study]
  method = "tpe"                          # or random, grid
  trials = 30
  [pruner]
  name = "asha"                           # or none, hyperband
  min_epochs = 1
  reduction_factor = 3
  [space]
  "optim.lr" = { low = 0.01, high = 1.0, log = true }
  "model.width" = { low = 16, high = 64, step = 16 }
  "loss.label_smoothing" = { choices = [0.0, 0.1] }

The same command resumes a search that was stopped. To extend a finished search, raise study.trials."#)]
pub struct Args {
    /// The search-space file
    #[arg(value_name = "SPACE.toml")]
    space: PathBuf,
    /// The folder for study.sqlite, trials/, trials.csv, best.toml and plots [default: runs/tune-SPACE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A dataset's name, a folder or a manifest, as for train
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    /// The architecture
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Set a key of the config for all trials; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// A space file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "default_recipe")]
    recipe: String,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default)]
    study: StudyConfig,
    #[serde(default)]
    pruner: PrunerConfig,
    space: toml::Table,
}

fn default_recipe() -> String {
    "default".to_owned()
}

/// The state of a search.
struct Search {
    out: PathBuf,
    base: Base,
    study: Study,
    metric: String,
}

pub fn run(args: Args) -> Result<()> {
    let name = args.space.display().to_string();
    let text = std::fs::read_to_string(&args.space).with_context(|| format!("cannot read {name}"))?;
    let file: File = toml::from_str(&text).with_context(|| name.clone())?;
    let space = Space::from_toml(&file.space).with_context(|| name.clone())?;
    let flags = [("--data", "data.spec", &args.data), ("--model", "model.name", &args.model)];
    let flags = flags.into_iter().filter_map(|(flag, key, value)| Some(Setting::string(flag, key, value.as_ref()?)));
    let of_file = |text: &String| -> Result<Setting> {
        let setting = Setting::parse(text).with_context(|| format!("{name}: set"))?;
        Ok(setting.from_origin(format!("{name}: set = [\"{text}\"]")))
    };
    let sets = file.set.iter().map(of_file).chain(args.set.iter().map(|text| set(text)));
    let settings: Vec<Setting> = flags.map(Ok).chain(sets).collect::<Result<_>>()?;
    let base = Base { recipe: file.recipe.clone(), settings, space_file: name.clone() };
    let config = base.check(&space)?;
    tallow_models::find(&config.model.name)?;
    check_pretrained(&config)?;

    let stem = args.space.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let out = args.out.unwrap_or_else(|| PathBuf::from(format!("runs/tune-{stem}")));
    std::fs::create_dir_all(out.join("trials")).with_context(|| format!("cannot make {}", out.display()))?;
    let _lock = RunLock::take(&out)?;
    let identity = [
        ("space", file.space.to_string()),
        ("recipe", file.recipe.clone()),
        ("set", format!("{:?} {:?} {:?} {:?}", file.set, args.set, args.data, args.model)),
        ("study.method and seed", format!("{:?} {} {}", file.study.method, file.study.seed, file.study.grid_points)),
        ("pruner", format!("{:?}", file.pruner)),
        ("train.epochs", config.train.epochs.to_string()),
    ];
    let store = Store::open(&out.join("study.sqlite"), &identity)?;
    let limit = file.study.trials;
    let study = Study::new(space, file.study, file.pruner, config.train.epochs, store)?;
    let metric = config.train.early_stopping.metric.score_name();
    let search = Search { out, base, study, metric };
    let _signals = in_order()?;

    let known = search.study.trials()?.len();
    if known > 0 {
        println!("resuming after {known} trials in {}", search.out.display());
    }
    while let Some(next) = search.study.next()? {
        if STOP.load(Ordering::Relaxed) {
            break;
        }
        search.train(&next, limit)?;
        if STOP.load(Ordering::Relaxed) {
            break;
        }
    }
    search.report()?;
    if STOP.load(Ordering::Relaxed) {
        return Err(Interrupted("stopped; the same command resumes the search".to_owned()).into());
    }
    Ok(())
}

/// What all trials have in common.
struct Base {
    recipe: String,
    settings: Vec<Setting>,
    /// The name of the space file, for messages.
    space_file: String,
}

impl Base {
    /// The config at a point of a space.
    fn config_at(&self, space: &Space, point: &Point) -> tallow_train::Result<RunConfig> {
        let value = |(key, value): (String, toml::Value)| {
            Setting::value(format!("{}: [space] \"{key}\" at {}", self.space_file, short(&value)), &key, value)
        };
        let values = space.values(point).into_iter().map(value);
        load(&self.recipe, &self.settings.iter().cloned().chain(values).collect::<Vec<_>>())
    }

    /// The config in the middle of the space. Errors of the config appear before the first trial: each choice and each end of
    /// a range is tried. A value that fails only because of another parameter's is left to its trial.
    fn check(&self, space: &Space) -> Result<RunConfig> {
        let middle: Vec<f64> = space.parameters().map(|(_, domain)| domain.coordinate(0.5)).collect();
        for (at, (key, domain)) in space.parameters().enumerate() {
            let coordinates = match domain {
                Domain::Choice(choices) => (0..choices.len()).map(|choice| choice as f64).collect(),
                Domain::Float { .. } | Domain::Int { .. } => vec![0.0, 1.0],
            };
            for x in coordinates {
                let mut point = middle.clone();
                point[at] = x;
                match self.config_at(space, &Point(point)) {
                    Err(error) if error.key().is_some_and(|found| found == key) => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(self.config_at(space, &Point(middle))?)
    }
}

impl Search {
    /// Trains a trial to its next rung. What is wrong with the trial itself is noted and the search goes on.
    fn train(&self, next: &Next, limit: u64) -> Result<()> {
        let (id, until) = (next.trial.id, next.until);
        let config = self.base.config_at(self.study.space(), &next.trial.point)?;
        if next.trial.epochs() >= until {
            return Ok(self.study.reached(id, until)?);
        }
        println!("trial {id} ({} of {limit})  {}", id + 1, self.describe(&next.trial));
        let mut noted = Ok(());
        let metric = config.train.early_stopping.metric;
        let mut after_epoch = |epoch, evaluation: Option<&Evaluation>| {
            if let Some(evaluation) = evaluation {
                let score = metric.score(evaluation);
                noted = self.study.result(id, epoch, score);
                println!("    epoch {epoch}  {} {:.4}", self.metric, score);
            }
            noted.is_ok() && epoch < until
        };
        let options = FitOptions { stop: &STOP, after_epoch: Some(&mut after_epoch), ..FitOptions::default() };
        let trained = train_trial(config, &self.out.join(format!("trials/{id:03}")), options);
        noted?;
        match trained {
            Ok(report) if report.interrupted && STOP.load(Ordering::Relaxed) && report.epochs < until => Ok(()),
            Ok(report) if report.stopped_early => Ok(self.study.ended(id)?),
            Ok(_) => Ok(self.study.reached(id, until)?),
            // A full disk or another process is no fault of the trial: it can be trained later.
            Err(
                error @ tallow_train::Error::Run(
                    tallow_run::Error::Io { .. } | tallow_run::Error::Log(_) | tallow_run::Error::Locked { .. },
                ),
            ) => Err(error.into()),
            Err(error) => {
                println!("    failed: {error}");
                Ok(self.study.failed(id, &error.to_string())?)
            }
        }
    }

    /// A trial's values: `lr 0.031  width 32`.
    fn describe(&self, trial: &Trial) -> String {
        let values = self.study.space().values(&trial.point);
        let short = |(key, value): &(String, toml::Value)| {
            let key = key.rsplit_once('.').map_or(key.as_str(), |(_, key)| key);
            format!("{key} {}", short(value))
        };
        values.iter().map(short).collect::<Vec<_>>().join("  ")
    }

    /// The table of the best trials, trials.csv, best.toml and the pictures.
    fn report(&self) -> Result<()> {
        let trials = self.study.trials()?;
        self.write("trials.csv", &self.csv(&trials)?)?;
        let Some(best) = self.study.best()? else {
            let reasons: Vec<&str> = trials.iter().filter_map(|trial| trial.reason.as_deref()).collect();
            match reasons.first() {
                Some(_) if STOP.load(Ordering::Relaxed) => return Ok(()),
                Some(reason) => bail!("none of {} trials could be trained; the first: {reason}", trials.len()),
                None => return Ok(()),
            }
        };
        let mut ranked: Vec<&Trial> = trials.iter().filter(|trial| trial.score().is_finite()).collect();
        ranked.sort_by(|a, b| b.epochs().cmp(&a.epochs()).then(b.score().total_cmp(&a.score())));
        println!("\ntrial  epochs  {:>8}  values", self.metric);
        for trial in ranked.iter().take(10) {
            println!("{:5}  {:6}  {:8.4}  {}", trial.id, trial.epochs(), trial.score(), self.describe(trial));
        }
        let failed = trials.iter().filter(|trial| trial.state == State::Failed).count();
        let epochs: u64 = trials.iter().map(Trial::epochs).sum();
        println!("{} trials, {failed} failed, {epochs} epochs in all", trials.len());

        let space = self.study.space();
        let history: Vec<_> = trials
            .iter()
            .map(|trial| tallow_tune::sampler::Observation { point: trial.point.clone(), score: trial.score() })
            .collect();
        let shares = importance(space, &history);
        self.write("parallel_coordinates.svg", &plots::parallel_coordinates(space, &trials, &self.metric)?)?;
        self.write("importance.svg", &plots::importance_bars(space, &shares)?)?;
        self.write("history.svg", &plots::history(&trials, &self.metric)?)?;

        let config = self.base.config_at(space, &best.point)?;
        let header = format!(
            "# The best of {} trials: number {}, {} {:.4} on the validation split after {} epochs.\n# {}\n\n",
            trials.len(),
            best.id,
            self.metric,
            best.score(),
            best.epochs(),
            self.describe(&best),
        );
        self.write("best.toml", &format!("{header}{}", toml::to_string_pretty(&config)?))?;
        let out = self.out.display();
        println!("{out}: study.sqlite, trials.csv, parallel_coordinates.svg, importance.svg, history.svg");
        println!("next: {} train --recipe {out}/best.toml", program::name());
        Ok(())
    }

    /// `trial,state,epochs,score,<key>…,reason`.
    fn csv(&self, trials: &[Trial]) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let keys = self.study.space().parameters().map(|(key, _)| key);
        csv.write_record(["trial", "state", "epochs", &self.metric].into_iter().chain(keys).chain(["reason"]))?;
        for trial in trials {
            let score = if trial.score().is_finite() { trial.score().to_string() } else { String::new() };
            let mut row = vec![trial.id.to_string(), trial.state.name().to_owned(), trial.epochs().to_string(), score];
            row.extend(self.study.space().values(&trial.point).iter().map(|(_, value)| match value {
                toml::Value::String(text) => text.clone(),
                other => other.to_string(),
            }));
            row.push(trial.reason.clone().unwrap_or_default());
            csv.write_record(&row)?;
        }
        Ok(String::from_utf8(csv.into_inner()?)?)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        write(&self.out.join(name), text)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    tallow_base::write_atomically(path, text).with_context(|| format!("cannot write {}", path.display()))
}
