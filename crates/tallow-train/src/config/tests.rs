//! Layers, typos and ranges of the config.

use super::*;
use crate::{Error, Result};

fn settings(texts: &[&str]) -> Vec<Setting> {
    texts.iter().map(|text| Setting::parse(text).expect(text)).collect()
}

fn load_with(texts: &[&str]) -> Result<RunConfig> {
    load("fast", &settings(texts))
}

fn message(texts: &[&str]) -> String {
    load_with(texts).expect_err("a mistake in the config").to_string()
}

#[test]
fn every_recipe_loads_and_reads_back_from_its_own_toml() {
    for recipe in RECIPES {
        let config = load(recipe.name, &[]).expect(recipe.name);
        let text = toml::to_string_pretty(&config).expect("TOML");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).expect("a file");
        assert_eq!(read(&path, &[]).expect("its own TOML"), config);
    }
}

#[test]
fn settings_win_over_the_recipe_and_the_recipe_over_defaults() -> Result<()> {
    let config =
        load_with(&["train.epochs=3", "model.width = 8", "data.spec=some/folder", "data.sampler=class_balanced"])?;
    assert_eq!((config.train.epochs, config.train.batch_size, config.train.seed), (3, 128, 0));
    assert_eq!((config.model.name.as_str(), config.model.config.width), ("resnet9", Some(8)));
    assert_eq!((config.data.spec.as_str(), config.data.sampler), ("some/folder", Sampler::ClassBalanced));
    assert!(matches!(config.optim, OptimConfig::Sgd(sgd) if sgd.weight_decay == 5e-4 && sgd.lr == 0.2));
    let weighted = load_with(&["data.sampler={ class_weighted = [1, 5.0] }"])?;
    assert_eq!(weighted.data.sampler, Sampler::ClassWeighted(vec![1.0, 5.0]));
    Ok(())
}

#[test]
fn another_name_drops_what_was_meant_for_the_old_one() -> Result<()> {
    let config = load_with(&["optim.lr=0.003", "optim.name=adamw", "model.name=resnet18"])?;
    assert!(matches!(config.optim, OptimConfig::AdamW(adamw) if adamw.lr == 0.003 && adamw.weight_decay == 0.01));
    assert_eq!(config.model.name, "resnet18");
    Ok(())
}

#[test]
fn a_typo_is_named_with_its_origin_and_the_nearest_key() {
    for (set, nearest) in [
        ("train.epoch=3", "train.epochs"),
        ("optim.momentun=0.9", "optim.momentum"),
        ("optim.nesterof=true", "optim.nesterov"),
        ("epochs=3", "train.epochs"),
        ("model.widht=3", "model.width"),
        ("train.early_stopping.patients=3", "train.early_stopping.patience"),
        ("schedule.pct_strat=0.3", "schedule.pct_start"),
    ] {
        let message = message(&[set]);
        let key = set.split('=').next().unwrap_or_default();
        for part in [format!("--set {set}"), format!("`{key}`"), format!("`{nearest}`")] {
            assert!(message.contains(&part), "{set}: {message}");
        }
    }
}

#[test]
fn values_of_the_wrong_type_or_range_name_their_key() {
    for (set, key, part) in [
        ("train.epochs=many", "train.epochs", "many"),
        ("train.epochs=0", "train.epochs", "1 or more"),
        ("optim.lr=-1", "optim.lr", "0 or more"),
        ("optim.name=sdg", "optim.name", "sgd"),
        ("data.sampler=random", "data.sampler", "shuffled"),
        ("train=3", "train", "3"),
        ("loss.label_smoothing=1.5", "loss.label_smoothing", "below 1"),
        ("schedule.pct_start=2", "schedule.pct_start", "0 to 1"),
    ] {
        let message = message(&[set]);
        for part in [&format!("--set {set}"), &format!("`{key}`"), part] {
            assert!(message.contains(part), "{set}: {message}");
        }
    }
    let op = message(&["augment.train=[{ op = \"RandomCrop\", size = 28, paddin = 2 }]"]);
    assert!(op.contains("augment.train") && op.contains("padding"), "{op}");
    assert!(matches!(Setting::parse("train.epochs"), Err(Error::BadSetting { .. })));
    assert!(matches!(Setting::parse("train..epochs=1"), Err(Error::BadSetting { .. })));
    assert!(matches!(load("fsat", &[]), Err(Error::UnknownRecipe { .. })));
    assert!(matches!(load("missing.toml", &[]), Err(Error::Io { .. })));
}

#[test]
fn the_page_names_every_key() {
    let page = include_str!("../../../../docs/train.md");
    let tables = [
        serde_json::to_value(DataConfig { data_dir: Some("x".into()), ..Default::default() }),
        serde_json::to_value(AugmentConfig {
            train: Some(Default::default()),
            eval: Some(Default::default()),
            mean: Some(Vec::new()),
            std: Some(Vec::new()),
            tta: vec![View::HFlip],
        }),
        serde_json::to_value(TrainConfig { clip_norm: Some(1.0), ema_decay: Some(0.9), ..Default::default() }),
        serde_json::to_value(EarlyStoppingConfig::default()),
        serde_json::to_value(LossConfig::CrossEntropy(Default::default())),
        serde_json::to_value(DistillConfig { teacher: Some("x".into()), ..Default::default() }),
        serde_json::to_value(OptimConfig::Sgd(Default::default())),
        serde_json::to_value(OptimConfig::Adam(Default::default())),
        serde_json::to_value(OptimConfig::AdamW(Default::default())),
        serde_json::to_value(OptimConfig::RmsProp(Default::default())),
        serde_json::to_value(ScheduleConfig::Step(Default::default())),
        serde_json::to_value(ScheduleConfig::Cosine(Default::default())),
        serde_json::to_value(ScheduleConfig::OneCycle(Default::default())),
    ];
    for table in tables {
        for (key, value) in table.expect("JSON").as_object().expect("a table") {
            assert!(page.contains(&format!("`{key}`")), "docs/train.md does not name `{key}`");
            if key == "name" {
                let name = value.as_str().unwrap_or_default();
                assert!(page.contains(&format!("`{name}`")), "docs/train.md does not name `{name}`");
            }
        }
    }
}
