//! The loader: order, threads, resuming, damaged files and stopping.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use image::DynamicImage;
use tallow_augment::batch::{MixConfig, MixMode};
use tallow_augment::{Normalization, Pipeline, PipelineConfig};
use tallow_data::{Batch, Dataset, Loader, LoaderConfig, OnCorrupt, OpenOptions, Result, Sampler, Subset, open};
use tempfile::TempDir;

use crate::{assert_fails, open_path, save_image};

fn pipeline(ops: &str) -> Arc<Pipeline> {
    let config: PipelineConfig = serde_json::from_str(ops).unwrap();
    let norm = Normalization { mean: vec![0.286], std: vec![0.353] };
    Arc::new(config.build(1, &norm).unwrap())
}

fn crop_and_flip() -> Arc<Pipeline> {
    pipeline(r#"[{"op": "RandomCrop", "size": 28, "padding": 2}, {"op": "RandomHorizontalFlip"}]"#)
}

#[test]
fn mixing_ends_after_its_last_epoch() {
    let mix = MixConfig { mixup_alpha: 0.8, mixup_off_epoch: 2, ..Default::default() };
    let (plain, mixed) = (loader(config()), loader(LoaderConfig { mix: Some(mix), ..config() }));
    assert!(batches(&mixed, 1, 0).iter().all(|batch| batch.targets.is_some()));
    assert_eq!(batches(&mixed, 2, 0), batches(&plain, 2, 0));
    assert_eq!(batches(&mixed, 7, 0), batches(&plain, 7, 0));
}

#[test]
fn mixed_batches_carry_targets_and_depend_on_the_seed_alone() {
    let mix = MixConfig { mixup_alpha: 0.8, cutmix_alpha: 1.0, mode: MixMode::Elem, ..Default::default() };
    let plain = loader(config());
    let mixed = loader(LoaderConfig { mix: Some(mix.clone()), workers: 3, ..config() });
    let again = loader(LoaderConfig { mix: Some(mix), ..config() });
    assert_eq!(batches(&mixed, 2, 0), batches(&again, 2, 0));
    assert_eq!(batches(&mixed, 2, 3), batches(&mixed, 2, 0)[3..]);
    for (mixed, plain) in batches(&mixed, 0, 0).iter().zip(&batches(&plain, 0, 0)) {
        assert_eq!((mixed.indices.len(), mixed.shape), (plain.indices.len(), plain.shape));
        assert_ne!(mixed.pixels, plain.pixels);
        let (targets, n) = (mixed.targets.as_ref().unwrap(), plain.labels.len());
        assert_eq!((targets.len(), &plain.targets), (n * 10, &None));
        for (row, target) in targets.chunks(10).enumerate() {
            let classes = [plain.labels[row] as usize, plain.labels[n - 1 - row] as usize];
            assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(target.iter().enumerate().all(|(class, share)| *share == 0.0 || classes.contains(&class)));
            let most = target.iter().copied().fold(0.0, f32::max);
            assert_eq!(target[mixed.labels[row] as usize], most, "{target:?}");
        }
    }
    let error = Loader::new(images(), crop_and_flip(), LoaderConfig { mix: Some(MixConfig::default()), ..config() });
    assert!(error.err().unwrap().to_string().contains("mixup_alpha"));
}

/// 100 bundled images.
fn images() -> Arc<dyn Dataset> {
    let train = open("fashion-mnist-6k", &OpenOptions::default()).unwrap().train;
    Arc::new(Subset::new(train, (0..100).collect()).unwrap())
}

fn loader(config: LoaderConfig) -> Loader {
    Loader::new(images(), crop_and_flip(), config).unwrap()
}

fn batches(loader: &Loader, epoch: u64, skip: usize) -> Vec<Batch> {
    loader.epoch(epoch, skip).collect::<Result<_>>().unwrap()
}

fn config() -> LoaderConfig {
    LoaderConfig { batch_size: 16, seed: 7, ..LoaderConfig::default() }
}

#[test]
fn an_epoch_holds_every_sample_once_with_its_label() {
    let loader = loader(config());
    let found = batches(&loader, 0, 0);
    assert_eq!((found.len(), loader.batches()), (7, 7));
    assert_eq!(found[0].shape, (16, 28, 28, 1));
    assert_eq!(found[6].shape, (4, 28, 28, 1));
    let mut indices: Vec<usize> = found.iter().flat_map(|b| b.indices.clone()).collect();
    assert_ne!(indices[..16], (0..16).collect::<Vec<_>>());
    indices.sort();
    assert_eq!(indices, (0..100).collect::<Vec<_>>());
    let dataset = images();
    for batch in &found {
        assert_eq!(batch.pixels.len(), batch.indices.len() * 28 * 28);
        for (label, index) in batch.labels.iter().zip(&batch.indices) {
            assert_eq!(*label as usize, dataset.label(*index));
        }
    }
    let drop_last = self::loader(LoaderConfig { drop_last: true, ..config() });
    assert_eq!(batches(&drop_last, 0, 0), found[..6]);
}

#[test]
fn without_augmentation_pixels_are_normalised_and_in_order() {
    let config = LoaderConfig { sampler: Sampler::Sequential, ..config() };
    let plain = pipeline(r#"[{"op": "CenterCrop", "size": 28}]"#);
    let loader = Loader::new(images(), plain, config).unwrap();
    let batch = batches(&loader, 0, 1).remove(0);
    assert_eq!(batch.indices, (16..32).collect::<Vec<_>>());
    let image = images().image(17).unwrap().into_luma8().into_raw();
    for (found, pixel) in batch.pixels[28 * 28..].iter().zip(image) {
        let expected = (f32::from(pixel) / 255.0 - 0.286) / 0.353;
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn batches_depend_on_seed_and_epoch_alone() {
    let expected = batches(&loader(config()), 3, 0);
    for (workers, prefetch) in [(1, 0), (2, 1), (4, 5)] {
        let loader = loader(LoaderConfig { workers, prefetch, ..config() });
        assert_eq!(batches(&loader, 3, 0), expected, "{workers} workers");
        assert_eq!(batches(&loader, 3, 4), expected[4..], "resumed, {workers} workers");
        assert_eq!(batches(&loader, 3, 7), []);
        assert_eq!(batches(&loader, 3, 99), []);
    }
    assert_ne!(batches(&loader(config()), 4, 0), expected);
    let other_seed = LoaderConfig { seed: 8, ..config() };
    assert_ne!(batches(&loader(other_seed), 3, 0), expected);
}

#[test]
fn a_sample_drawn_twice_is_augmented_differently() {
    let mut weights = vec![0.0; 100];
    weights[5] = 1.0;
    let loader = loader(LoaderConfig { sampler: Sampler::SampleWeighted(weights), ..config() });
    let batch = batches(&loader, 0, 0).remove(0);
    assert_eq!(batch.indices, [5; 16]);
    let mut rows: Vec<&[f32]> = batch.pixels.chunks(28 * 28).collect();
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows.dedup();
    assert!(rows.len() > 4, "{} different", rows.len()); // of 5 × 5 shifts and 2 flips
}

/// Six images in one class folder, the second and the third damaged.
fn damaged(dir: &TempDir) -> Arc<dyn Dataset> {
    for i in 0..6u8 {
        save_image(&dir.path().join(format!("c/{i}.png")), [i * 40; 3]);
    }
    fs::write(dir.path().join("c/1.png"), "damaged").unwrap();
    let whole = fs::read(dir.path().join("c/2.png")).unwrap();
    fs::write(dir.path().join("c/2.png"), &whole[..whole.len() / 2]).unwrap();
    open_path(dir.path()).unwrap().train
}

fn load_damaged(config: LoaderConfig) -> Vec<Result<Batch>> {
    let dir = TempDir::new().unwrap();
    let crop = pipeline(r#"[{"op": "CenterCrop", "size": 4}]"#);
    let loader = Loader::new(damaged(&dir), crop, config).unwrap();
    loader.epoch(0, 0).collect()
}

#[test]
fn damaged_files_stop_the_epoch_or_are_skipped_and_listed() {
    let config = LoaderConfig { batch_size: 3, sampler: Sampler::Sequential, workers: 2, ..LoaderConfig::default() };
    let mut stopped = load_damaged(config.clone());
    assert_eq!(stopped.len(), 1, "the error ends the epoch");
    assert_fails(stopped.remove(0), &["c/1.png", "decoded"]);

    let skip = LoaderConfig { on_corrupt: OnCorrupt::Skip, ..config };
    let smaller: Vec<Batch> = load_damaged(skip.clone()).into_iter().collect::<Result<_>>().unwrap();
    assert_eq!(smaller[0].indices, [0]);
    assert_eq!(smaller[0].shape, (1, 4, 4, 1));
    assert_eq!(smaller[0].pixels.len(), 16);
    assert_eq!(smaller[0].skipped, ["c/1.png", "c/2.png"]);
    assert_eq!(smaller[1].indices, [3, 4, 5]);
    assert!(smaller[1].skipped.is_empty());

    let full = LoaderConfig { drop_last: true, batch_size: 2, ..skip.clone() };
    let full: Vec<Batch> = load_damaged(full).into_iter().collect::<Result<_>>().unwrap();
    let indices: Vec<_> = full.iter().map(|b| b.indices.clone()).collect();
    assert_eq!(indices, [[0, 0], [3, 3], [4, 5]]);
    assert_eq!(full[1].pixels[..16], full[1].pixels[16..]);
    assert_eq!(full[0].skipped, ["c/1.png"]);

    let alone = LoaderConfig { batch_size: 1, ..skip };
    let mut alone = load_damaged(alone);
    assert_eq!(alone.len(), 2);
    assert_fails(alone.remove(1), &["batch 1", "c/1.png"]);
}

#[test]
fn an_image_too_small_for_the_pipeline_is_named() {
    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("c/small.png"), [0; 3]);
    let train = open_path(dir.path()).unwrap().train;
    let crop = pipeline(r#"[{"op": "RandomCrop", "size": 28}]"#);
    let loader = Loader::new(train, crop, LoaderConfig::default()).unwrap();
    assert_fails(loader.epoch(0, 0).next().unwrap(), &["c/small.png", "RandomCrop"]);
}

#[test]
fn impossible_configurations_are_refused() {
    let refused = |config, part: &str| {
        assert_fails(Loader::new(images(), crop_and_flip(), config), &[part]);
    };
    refused(LoaderConfig { batch_size: 0, ..config() }, "batch_size");
    refused(LoaderConfig { workers: 0, ..config() }, "workers");
    refused(LoaderConfig { batch_size: 101, drop_last: true, ..config() }, "at most the number of samples, 100");
    let with = |sampler| LoaderConfig { sampler, ..config() };
    refused(with(Sampler::ClassWeighted(vec![1.0])), "10 weights");
    refused(with(Sampler::SampleWeighted(vec![1.0; 10])), "100 weights");
    refused(with(Sampler::ClassWeighted(vec![-1.0; 10])), "finite");
    refused(with(Sampler::ClassWeighted(vec![0.0; 10])), "above 0");
    let empty = Arc::new(Subset::new(images(), Vec::new()).unwrap());
    assert_fails(Loader::new(empty, crop_and_flip(), config()), &["number of samples"]);
    assert_fails(Subset::new(images(), vec![100]), &["100"]);
}

/// Counts the images that are read. Each takes a while; image 40 can be made to panic.
struct Slow {
    asked: AtomicUsize,
    panics: bool,
    names: Vec<String>,
}

impl Slow {
    fn new(panics: bool) -> Arc<Self> {
        Arc::new(Self { asked: AtomicUsize::new(0), panics, names: vec!["only".into()] })
    }
}

impl Dataset for Slow {
    fn len(&self) -> usize {
        1000
    }
    fn class_names(&self) -> &[String] {
        &self.names
    }
    fn label(&self, _: usize) -> usize {
        0
    }
    fn image(&self, index: usize) -> Result<DynamicImage> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(!(self.panics && index == 40), "a bug in image 40");
        std::thread::sleep(Duration::from_millis(1));
        Ok(DynamicImage::new_luma8(28, 28))
    }
    fn id(&self, index: usize) -> String {
        index.to_string()
    }
    fn channels(&self) -> usize {
        1
    }
}

#[test]
fn prefetch_is_bounded_and_dropping_stops() {
    let dataset = Slow::new(false);
    let loader = Loader::new(dataset.clone(), crop_and_flip(), config()).unwrap();
    let mut epoch = loader.epoch(0, 0);
    epoch.next().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    // One batch taken, two waiting, one finished but not yet accepted.
    let asked = dataset.asked.load(Ordering::SeqCst);
    assert!(asked <= 4 * 16, "{asked}");
    drop(epoch);

    // In the middle of a batch of a thousand, which takes a second if it is not stopped.
    let config = LoaderConfig { batch_size: 1000, ..config() };
    let loader = Loader::new(dataset.clone(), crop_and_flip(), config).unwrap();
    let epoch = loader.epoch(0, 0);
    let before = dataset.asked.load(Ordering::SeqCst);
    drop(epoch);
    std::thread::sleep(Duration::from_millis(50));
    let after = dataset.asked.load(Ordering::SeqCst);
    assert!(after - before < 500, "{before} {after}");
}

#[test]
fn a_panic_in_a_dataset_is_an_error_and_not_a_short_epoch() {
    let config = LoaderConfig { sampler: Sampler::Sequential, ..config() };
    let loader = Loader::new(Slow::new(true), crop_and_flip(), config).unwrap();
    let mut found: Vec<Result<Batch>> = loader.epoch(0, 0).collect();
    assert_eq!(found.len(), 3);
    assert_fails(found.remove(2), &["stopped", "a bug in image 40"]);
}

/// `cargo test -p tallow-data -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let train = open("fashion-mnist-6k", &OpenOptions::default()).unwrap().train;
    for workers in [1, 2] {
        let config = LoaderConfig { workers, ..LoaderConfig::default() };
        let loader = Loader::new(train.clone(), crop_and_flip(), config).unwrap();
        let start = Instant::now();
        let images: usize = (0..4).flat_map(|e| batches(&loader, e, 0)).map(|b| b.shape.0).sum();
        let per_second = images as f64 / start.elapsed().as_secs_f64();
        println!("{workers} worker(s): {per_second:.0} images/s");
    }
}
