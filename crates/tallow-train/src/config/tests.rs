//! Layers, typos and ranges of the config.

use tallow_augment::batch::MixConfig;
use tallow_data::FoldOptions;
use tallow_run::View;
use toml::Table;

use super::*;
use crate::Error;

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
        tallow_models::find(&config.model.name).expect(recipe.name);
        let channels = config.augment.mean.as_ref().map_or(1, Vec::len);
        let given = [("train", &config.augment.train), ("eval", &config.augment.eval)];
        for (key, ops) in given.into_iter().filter_map(|(key, ops)| Some((key, ops.as_ref()?))) {
            let normalization = tallow_augment::Normalization { mean: vec![0.5; channels], std: vec![0.5; channels] };
            let built = ops.build(channels, &normalization);
            assert!(built.is_ok(), "{}: augment.{key}: {:?}", recipe.name, built.err());
        }
    }
}

#[test]
fn settings_win_over_the_recipe_and_the_recipe_over_defaults() -> Result<()> {
    let config =
        load_with(&["train.epochs=3", "model.width = 8", "data.spec=some/folder", "data.sampler=class_balanced"])?;
    assert_eq!((config.train.epochs, config.train.batch_size, config.train.seed), (3, 256, 0));
    assert_eq!((config.model.name.as_str(), config.model.config.width), ("resnet9", Some(8)));
    assert_eq!((config.data.spec.as_str(), config.data.sampler), ("some/folder", Sampler::ClassBalanced));
    assert!(matches!(config.optim.method, OptimMethod::Muon(_)));
    assert_eq!((config.optim.common.weight_decay, config.optim.common.lr), (0.05, 0.01));
    let weighted = load_with(&["data.sampler={ class_weighted = [1, 5.0] }"])?;
    assert_eq!(weighted.data.sampler, Sampler::ClassWeighted(vec![1.0, 5.0]));
    Ok(())
}

#[test]
fn another_name_drops_what_was_meant_for_the_old_one() -> Result<()> {
    let config = load_with(&["optim.lr=0.003", "optim.name=adamw", "model.name=resnet18"])?;
    assert!(matches!(config.optim.method, OptimMethod::AdamW(_)));
    assert_eq!((config.optim.common.weight_decay, config.optim.common.lr), (0.01, 0.003));
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
        ("schedule.warmup_epoch=3", "schedule.warmup_epochs"),
        ("optim.weight_decai=3", "optim.weight_decay"),
        ("train.batch_growth.facto=3", "train.batch_growth.factor"),
        ("data.fold.cout=3", "data.fold.count"),
    ] {
        let message = message(&[set]);
        let key = set.split('=').next().unwrap_or_default();
        for part in [format!("setting {set}"), format!("`{key}`"), format!("`{nearest}`")] {
            assert!(message.contains(&part), "{set}: {message}");
        }
    }
}

#[test]
fn nothing_is_suggested_that_is_not_spelt_alike() {
    for set in ["device=cpu", "train.device=cpu", "frobnicate=1"] {
        let message = message(&[set]);
        assert!(message.contains("unknown key") && !message.contains("did you mean"), "{set}: {message}");
    }
    assert_eq!(keys_named("weight-decay"), ["optim.weight_decay"]);
    assert_eq!(keys_named("patience"), ["train.early_stopping.patience"]);
    assert_eq!(keys_named("frobnicate"), [""; 0]);
}

/// The dotted keys of all numbers in a table.
fn numbers(prefix: &str, table: &Table) -> Vec<String> {
    let of = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(table) => numbers(&format!("{prefix}{key}."), table),
        toml::Value::Integer(_) | toml::Value::Float(_) => vec![format!("{prefix}{key}")],
        _ => Vec::new(),
    };
    table.iter().flat_map(of).collect()
}

#[test]
fn no_number_is_so_large_that_training_panics_or_hangs() -> Result<()> {
    let optional = [
        "data.draft=1",
        "data.cache_side=1",
        "data.split_seed=1",
        "data.fold={ count = 2, index = 0 }",
        "data.sampler={ shards = 1 }",
        "augment.mix={ mixup_alpha = 0.2 }",
        "augment.progressive={ start = 8, stages = 2 }",
        "train.batch_growth={ max = 512 }",
        "train.clip_norm=1.0",
        "train.clip_value=1.0",
        "train.clip_agc=1.0",
        "train.max_norm=1.0",
        "train.r_drop=1.0",
        "train.ema_decay=0.9",
        "optim.lookahead={ k = 5 }",
        "optim.sam={ rho = 0.1 }",
        "schedule.name=cosine_restarts",
    ];
    let all = Table::try_from(load_with(&optional)?).expect("TOML");
    let keys = numbers("", &all);
    assert!(keys.len() > 50, "{keys:?}");
    for key in keys {
        let refuses = |value: &str| {
            let setting = format!("{key}={value}");
            let texts: Vec<&str> = optional.iter().copied().chain([setting.as_str()]).collect();
            match load_with(&texts) {
                Err(error) => error.to_string().contains(key.rsplit('.').next().unwrap_or_default()),
                Ok(_) => false,
            }
        };
        let is_seed = ["train.seed", "data.split_seed"].contains(&key.as_str());
        for value in ["9223372036854775807", "9223372036854775808"] {
            let is_whole = toml_at(&all, &key).is_some_and(toml::Value::is_integer);
            assert!(!is_whole || refuses(value) || is_seed && value.ends_with('7'), "{key}={value}");
        }
        assert!(refuses("inf") && refuses("nan"), "{key}=inf");
    }
    for (key, value) in
        [("data.workers", 1_000_000_000u64), ("data.prefetch", 1_000_000_000), ("train.epochs", 1_000_000_000)]
    {
        let message = message(&[&format!("{key}={value}")]);
        assert!(message.contains(&format!("`{key}`: expected at most")) && message.contains("1000000000"), "{message}");
    }
    Ok(())
}

fn toml_at<'a>(table: &'a Table, key: &str) -> Option<&'a toml::Value> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    match (table.get(first)?, rest) {
        (toml::Value::Table(table), Some(rest)) => toml_at(table, rest),
        (value, _) => Some(value),
    }
}

#[test]
fn a_variant_without_its_value_says_what_it_needs() {
    for (variant, needs) in
        [("class_weighted", "a sequence"), ("sample_weighted", "a sequence"), ("repeated", "f64"), ("shards", "usize")]
    {
        let message = message(&[&format!("data.sampler={variant}")]);
        assert!(message.contains(&format!("`{variant}` needs {needs}: {{ {variant} = … }}")), "{message}");
    }
}

#[test]
fn keys_that_follow_from_the_data_are_unset_until_they_are_set() -> Result<()> {
    let config = load_with(&[])?;
    let model = &config.model.config;
    assert_eq!((model.num_classes, model.in_chans, model.input_size), (0, 0, (0, 0)));
    let text = config.to_toml()?;
    assert!(!text.contains("num_classes") && !text.contains("input_size"), "{text}");
    let set = load_with(&["model.input_size=[64, 96]", "model.num_classes=1000"])?.model.config;
    assert_eq!((set.num_classes, set.in_chans, set.input_size), (1000, 0, (64, 96)));
    for unset in ["model.num_classes=0", "model.in_chans=0", "model.input_size=[0, 3]"] {
        let message = message(&[unset]);
        assert!(message.contains(unset.split('=').next().unwrap_or_default()), "{message}");
    }
    Ok(())
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
        ("schedule.momentum=[0.8, 0.9]", "schedule.momentum", "one_cycle"),
        ("optim.sam={ rho = -1 }", "optim.sam.rho", "above 0"),
        ("optim.lr=fast", "optim.lr", "invalid type"),
        ("train.batch_growth={ factor = 1 }", "train.batch_growth.factor", "above 1"),
        ("augment.progressive={ start = 16, stages = 1 }", "augment.progressive.stages", "2 sizes"),
        ("optim.lookahead={ kk = 3 }", "optim.lookahead", "unknown key `kk`"),
    ] {
        let message = message(&[set]);
        for part in [&format!("setting {set}"), &format!("`{key}`"), part] {
            assert!(message.contains(part), "{set}: {message}");
        }
    }
    let op = message(&["augment.train=[{ op = \"RandomCrop\", size = 28, paddin = 2 }]"]);
    assert!(op.contains("augment.train") && op.contains("padding"), "{op}");
    assert!(matches!(Setting::parse("train.epochs"), Err(Error::BadSetting { .. })));
    assert!(matches!(Setting::parse("train..epochs=1"), Err(Error::BadSetting { .. })));
    assert!(matches!(load("fsat", &[]), Err(Error::UnknownRecipe { .. })));
    assert!(matches!(load("missing.toml", &[]), Err(Error::Run(tallow_run::Error::Io { .. }))));
}

#[test]
fn the_page_names_every_key() {
    let page = include_str!("../../../../docs/train.md");
    let tables = [
        serde_json::to_value(DataConfig {
            data_dir: Some("x".into()),
            fold: Some(FoldOptions { count: 2, index: 0 }),
            split_seed: Some(1),
            ..Default::default()
        }),
        serde_json::to_value(FoldOptions { count: 2, index: 0 }),
        serde_json::to_value(AugmentConfig {
            train: Some(Default::default()),
            eval: Some(Default::default()),
            train_as_eval: true,
            mean: Some(Vec::new()),
            std: Some(Vec::new()),
            tta: vec![View::HFlip],
            mix: Some(Default::default()),
            progressive: Some(ProgressiveConfig { start: 16, stages: 4 }),
        }),
        serde_json::to_value(ProgressiveConfig { start: 16, stages: 4 }),
        serde_json::to_value(MixConfig { cutmix_minmax: Some([0.2, 0.8]), ..Default::default() }),
        serde_json::to_value(BatchGrowthConfig { max: Some(2), ..Default::default() }),
        serde_json::to_value(TrainConfig {
            clip_norm: Some(1.0),
            clip_value: Some(1.0),
            clip_agc: Some(0.01),
            ema_decay: Some(0.9),
            r_drop: Some(1.0),
            max_norm: Some(1.0),
            keep_zeros: true,
            batch_growth: Some(Default::default()),
            ..Default::default()
        }),
        serde_json::to_value(EarlyStoppingConfig::default()),
        serde_json::to_value(DistillConfig { teacher: Some("x".into()), ..Default::default() }),
    ];
    let named = |text: &str| toml::from_str::<Table>(text).expect(text);
    let whole = |table: Table, kind: &str| -> serde_json::Result<serde_json::Value> {
        let mut config = Table::try_from(RunConfig::default()).expect("TOML");
        config.insert(kind.to_owned(), toml::Value::Table(table));
        let config: RunConfig = tallow_optim::table::from_table(config).expect(kind);
        assert_eq!(config.first_invalid(), None);
        Ok(serde_json::to_value(config)?[kind].clone())
    };
    let mut named_tables = Vec::new();
    for name in LossConfig::NAMES {
        let optional = match *name {
            "cross_entropy" => "class_weights = [1.0]",
            "binary_cross_entropy" => "target_threshold = 0.2",
            "focal" => "alpha = 0.25\nclass_weights = [1.0]",
            "ldam" => "drw_epoch = 3",
            _ => "",
        };
        named_tables.push(whole(named(&format!("name = \"{name}\"\n{optional}")), "loss"));
    }
    for name in OptimMethod::NAMES {
        let text = format!("name = \"{name}\"\nsam = {{ adaptive = true }}\nlookahead = {{ k = 5 }}");
        named_tables.push(whole(named(&text), "optim"));
    }
    for name in ScheduleMethod::NAMES {
        let optional = match *name {
            "multi_step" => "milestones = [3]",
            "triangular" => "step_down_epochs = 1.0",
            "one_cycle" => "cycle_momentum = false",
            _ => "",
        };
        let text = format!("name = \"{name}\"\nmomentum = [0.8, 0.9]\n{optional}");
        named_tables.push(whole(named(&text), "schedule"));
    }
    for table in tables.into_iter().chain(named_tables) {
        for (key, value) in table.expect("JSON").as_object().expect("a table") {
            assert!(page.contains(&format!("`{key}`")), "docs/train.md does not name `{key}`");
            if key == "name" {
                let name = value.as_str().unwrap_or_default();
                assert!(page.contains(&format!("`{name}`")), "docs/train.md does not name `{name}`");
            }
        }
    }
}
