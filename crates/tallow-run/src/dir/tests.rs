//! Tests of the run directory.

use tallow_augment::batch::MixConfig;

use super::*;

/// With sections and keys that only training knows.
const CONFIG_TEXT: &str = r#"
        [data]
        spec = "photos"
        [model]
        width = 8
        name = "resnet18"
        [augment]
        mean = [0.5]
        tta = ["hflip"]
        mix = { mixup_alpha = 0.2 }
        [optim]
        name = "an optimiser of the future"
        [train]
        epochs = 3
        seed = 7
        eval_batch_size = 20
    "#;

#[test]
fn inference_reads_its_sections_and_passes_over_those_of_training() -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
    let run = RunDir::create(folder.path().join("a"), CONFIG_TEXT, &[])?;
    let sections = run.sections()?;
    assert_eq!((sections.data.spec.as_str(), sections.train.seed), ("photos", 7));
    assert_eq!((sections.model.name.as_str(), sections.model.config.width), ("resnet18", Some(8)));
    assert_eq!((sections.train.eval_batch_size, sections.train.batch_size), (20, 128));
    assert_eq!(sections.augment.mix, Some(MixConfig { mixup_alpha: 0.2, ..Default::default() }));
    run.write_config("[model]\nwidht = 8")?;
    let misspelt = run.sections();
    assert!(matches!(&misspelt, Err(Error::Broken { reason, .. }) if reason.contains("widht")), "{misspelt:?}");
    Ok(())
}

#[test]
fn a_run_is_never_written_over_and_reads_back() -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
    let path = folder.path().join("runs/a");
    let classes = vec!["cat".to_owned(), "dog".to_owned()];
    let run = RunDir::create(&path, CONFIG_TEXT, &classes)?;
    assert_eq!(run.classes()?, classes);
    assert_eq!(run.config_text()?, CONFIG_TEXT);
    let refused = RunDir::create(&path, CONFIG_TEXT, &classes);
    assert!(matches!(&refused, Err(Error::RunExists { .. })), "{refused:?}");
    assert_eq!(RunDir::open(&path)?, run);
    assert!(matches!(RunDir::open(folder.path()), Err(Error::NotARun { .. })));
    let left: Vec<_> = fs::read_dir(&path).map_err(Error::io(&path, "list"))?.flatten().collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".partial")), "{left:?}");
    Ok(())
}

#[test]
fn a_start_that_was_killed_can_be_made_again_and_not_opened() -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
    let path = folder.path().join("a");
    let begun = RunDir::begin(&path, &["x".to_owned()])?;
    begun.write_config(CONFIG_TEXT)?;
    begun.make_folder("members/b")?;
    assert!(matches!(RunDir::create(&path, CONFIG_TEXT, &[]), Err(Error::Locked { .. })), "it is being written");
    drop(begun);
    assert!(matches!(RunDir::open(&path), Err(Error::Incomplete { .. })));
    let run = RunDir::create(&path, CONFIG_TEXT, &[])?;
    assert!(!path.join("members").exists() && run.classes()?.is_empty());
    assert!(matches!(RunDir::open_to_write(&path), Err(Error::Locked { .. })));
    drop(run);
    RunDir::open_to_write(&path)?;
    Ok(())
}

#[test]
fn a_changed_config_keeps_the_history_of_its_changes() -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
    let run = RunDir::create(folder.path().join("a"), CONFIG_TEXT, &[])?;
    run.change_config("[train]\nseed = 1\n", "at step 3: a")?;
    run.change_config("[train]\nseed = 2\n", "at step 4: b")?;
    assert_eq!(run.config_text()?, "# resumed at step 3: a\n# resumed at step 4: b\n[train]\nseed = 2\n");
    assert_eq!(run.sections()?.train.seed, 2);
    Ok(())
}

#[test]
fn the_previous_checkpoint_is_kept_and_can_be_returned_to() -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
    let run = RunDir::create(folder.path().join("a"), CONFIG_TEXT, &[])?;
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    for text in ["1", "2", "3"] {
        run.keep_previous()?;
        write_atomic(&run.last(), text.as_bytes())?;
    }
    assert_eq!((read(run.last()).as_str(), read(run.previous()).as_str()), ("3", "2"));
    run.return_to_previous()?;
    assert_eq!(read(run.last()), "2");
    assert_eq!(read(run.path().join("checkpoints/damaged.safetensors")), "3");
    assert!(run.has_checkpoint() && !run.previous().exists());
    Ok(())
}

#[test]
fn a_folder_below_a_file_is_one_clear_error() -> Result<()> {
    let file = tempfile::NamedTempFile::new().map_err(Error::io("", "make a file"))?;
    let error = RunDir::create(file.path().join("run"), CONFIG_TEXT, &[]);
    assert!(matches!(error, Err(Error::Io { .. })), "{error:?}");
    Ok(())
}

#[test]
fn the_split_is_kept_and_another_one_refused() -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::io("", "make a folder"))?;
    let run = RunDir::create(folder.path().join("a"), CONFIG_TEXT, &["x".to_owned()])?;
    let splits = |seed| {
        let options = tallow_data::OpenOptions { validation_fraction: 0.1, seed, ..Default::default() };
        tallow_data::open("fashion-mnist-6k", &options).expect("the bundled images")
    };
    run.keep_split(&splits(0))?;
    let kept = fs::read_to_string(run.path().join(SPLIT)).map_err(Error::io("", "read"))?;
    assert_eq!(kept.lines().count(), 5001);
    assert_eq!(kept.lines().filter(|line| line.ends_with(",validation")).count(), 500);
    run.keep_split(&splits(0))?;
    let refused = run.keep_split(&splits(1));
    assert!(matches!(&refused, Err(Error::OtherSplit { .. })), "{refused:?}");
    Ok(())
}
