//! Sizes of images, and other keys that follow from the data: what is set is honoured or refused, never ignored.

use std::path::Path;

use tallow_data::{OpenOptions, Splits};
use tallow_train::{Error, Resolved, Result, Setting, load, resolve, suited};

/// A folder with two classes of images of this size; the splits of it.
fn photos(folder: &Path, height: u32, width: u32, each: u32) -> Splits {
    for class in ["a", "b"] {
        std::fs::create_dir_all(folder.join(class)).expect("a folder");
        for i in 0..each {
            let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x + i) as u8, y as u8, 99]));
            image.save(folder.join(class).join(format!("{i}.png"))).expect("an image");
        }
    }
    tallow_data::open(&folder.display().to_string(), &OpenOptions::default()).expect("a dataset")
}

fn bundled() -> Splits {
    tallow_data::open("fashion-mnist-6k", &OpenOptions::default()).expect("the bundled images")
}

fn resolved(recipe: &str, splits: &Splits, settings: &[&str]) -> Result<Resolved> {
    let settings: Vec<Setting> = settings.iter().map(|text| Setting::parse(text).expect(text)).collect();
    resolve(load(recipe, &settings)?, splits)
}

fn refusal(recipe: &str, splits: &Splits, settings: &[&str]) -> String {
    match resolved(recipe, splits, settings) {
        Ok(resolved) => panic!("{settings:?}: {:?}", resolved.config.model),
        Err(error) => error.to_string(),
    }
}

#[test]
fn input_size_is_honoured_by_default_pipelines_and_rewrites_given_ones() -> Result<()> {
    let splits = bundled();
    for (recipe, settings, size) in [
        ("default", &["model.input_size=[40, 40]"][..], (40, 40)),
        ("default", &["model.input_size=[40, 48]"], (40, 48)),
        ("fast", &["model.input_size=[64, 64]"], (64, 64)),
        ("fast", &["model.input_size=[32, 40]"], (32, 40)),
        ("default", &["augment.train_as_eval=true", "model.input_size=[36, 36]"], (36, 36)),
    ] {
        let resolved = resolved(recipe, &splits, settings)?;
        for pipeline in [&resolved.train, &resolved.eval] {
            let (height, width, _) = pipeline.output_shape();
            assert_eq!((height, width), size, "{recipe} {settings:?}");
        }
        assert_eq!(resolved.config.model.config.input_size, size);
        // A resumed run reads the complete config, and stays what it is.
        let again = resolve(resolved.config.clone(), &splits)?;
        assert_eq!((again.config, again.notes.len()), (resolved.config, 0));
    }
    let notes = resolved("fast", &splits, &["model.input_size=[64, 64]"])?.notes;
    assert_eq!(notes, ["augment.train is scaled from 28×28 to model.input_size, 64×64"]);
    Ok(())
}

#[test]
fn evaluation_that_is_larger_than_training_stays_so_in_proportion() -> Result<()> {
    let pipelines = [
        "augment.train=[{ op = \"RandomResizedCrop\", size = 32 }]",
        "augment.eval=[{ op = \"Resize\", size = [48, 48] }]",
        "model.input_size=[64, 64]",
    ];
    let resolved = resolved("default", &bundled(), &pipelines)?;
    assert_eq!((resolved.train.output_shape(), resolved.eval.output_shape()), ((64, 64, 1), (96, 96, 1)));
    Ok(())
}

#[test]
fn classes_and_channels_follow_from_the_data() -> Result<()> {
    let splits = bundled();
    for (set, found) in [("model.num_classes=7", "has 10"), ("model.in_chans=3", "has 1")] {
        let message = refusal("default", &splits, &[set]);
        let key = set.split('=').next().unwrap_or_default();
        assert!(message.contains(key) && message.contains(found), "{set}: {message}");
    }
    resolved("default", &splits, &["model.num_classes=10", "model.in_chans=1"])?;
    for (model, size, part) in [("resnet9", "[4, 4]", "at least"), ("vit_tiny_patch16_224", "[100, 100]", "divides")] {
        let message =
            refusal("default", &splits, &[&format!("model.name={model}"), &format!("model.input_size={size}")]);
        assert!(message.starts_with("model.input_size: ") && message.contains(part), "{message}");
    }
    Ok(())
}

#[test]
fn photographs_are_not_shrunk_to_thumbnails() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let splits = photos(folder.path(), 120, 160, 3);
    for (model, size) in [("resnet9", (64, 64)), ("resnet18", (224, 224)), ("vit_tiny_patch16_224", (224, 224))] {
        let resolved = resolved("default", &splits, &[&format!("model.name={model}")])?;
        assert_eq!(resolved.config.model.config.input_size, size, "{model}");
    }
    Ok(())
}

#[test]
fn the_images_choose_the_recipe() -> Result<()> {
    for (sides, recipe, size) in
        [([64, 40], "default", (0, 0)), ([90, 300], "photos", (64, 64)), ([200, 150], "photos", (128, 128))]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let splits = photos(folder.path(), sides[0], sides[1], 5);
        let suited = suited(&splits)?;
        assert_eq!(suited.recipe, recipe, "{}", suited.why);
        let found = format!("10 images in 2 classes, {}×{} in the median", sides[0], sides[1]);
        assert!(suited.why.starts_with(&found) && suited.why.contains(recipe), "{}", suited.why);
        let config = load(suited.recipe, &suited.settings)?;
        assert_eq!(config.model.config.input_size, size);
        if recipe == "photos" {
            assert_eq!((config.train.epochs, config.train.batch_size), (60, 8));
            resolve(config, &splits)?;
        }
    }
    Ok(())
}

#[test]
fn a_metric_that_the_data_do_not_have_selects_nothing() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let few = photos(folder.path(), 32, 32, 2);
    for (splits, metric) in [(&bundled(), "map"), (&bundled(), "samples_f1"), (&few, "top5")] {
        let message = refusal("default", splits, &[&format!("train.early_stopping.metric={metric}")]);
        assert!(message.contains("train.early_stopping.metric") && message.contains(metric), "{message}");
    }
    for metric in ["top1", "top5", "loss", "macro_f1", "roc_auc_macro"] {
        let name = tallow_metrics::Metric::find(metric).map_or("absent", |metric| metric.name);
        if tallow_metrics::Metric::selectable().contains(&name) {
            resolved("default", &bundled(), &[&format!("train.early_stopping.metric={metric}")])?;
        }
    }
    Ok(())
}

#[test]
fn networks_without_parameters_per_position_take_other_sizes_in_evaluation() -> Result<()> {
    let eval = "augment.eval=[{ op = \"Resize\", size = [64, 64] }]";
    let train = "augment.train=[{ op = \"Resize\", size = [32, 32] }]";
    let splits = bundled();
    let free = tallow_models::list()
        .iter()
        .find(|preset| !preset.family.starts_with("cnn/") && !preset.fixed_input_size && preset.min_input_size <= 32);
    if let Some(free) = free {
        resolved("default", &splits, &[&format!("model.name={}", free.name), train, eval])?;
    }
    let message = refusal("default", &splits, &["model.name=vit_tiny_patch16_224", train, eval]);
    assert!(message.contains("takes images of one size"), "{message}");
    Ok(())
}

#[test]
fn an_error_of_a_pipeline_names_its_key() {
    let crop = "augment.train=[{ op = \"RandomCrop\", size = 99 }]";
    let error = resolved("default", &bundled(), &[crop]).map(|resolved| resolved.config);
    let Err(error @ Error::Run(tallow_run::Error::Pipeline { key: "augment.train", .. })) = &error else {
        panic!("{error:?}")
    };
    assert!(error.to_string().starts_with("augment.train: op 0 (counted from 0): RandomCrop"), "{error}");
}
