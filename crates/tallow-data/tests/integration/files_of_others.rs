//! Files that other libraries wrote (fixtures/scripts/data_files.py): pyarrow, webdataset, torchvision, Pillow; and the
//! splits of scikit-learn.

use std::path::Path;

use tallow_data::decode::decode_file;
use tallow_data::{ClassOrder, Dataset, OpenOptions, ShardStream, Splits, StreamConfig, labels, open};

use crate::{assert_fails, others};

/// Opens a path below the recorded files.
fn open_others(name: &str, options: &OpenOptions) -> tallow_data::Result<Splits> {
    open(others(name).to_str().unwrap(), options)
}

fn expected() -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(others("expected.json")).unwrap()).unwrap()
}

fn mean(image: image::DynamicImage) -> [f64; 3] {
    let image = image.into_rgb8();
    let pixels = f64::from(image.width() * image.height());
    let mut sums = [0.0; 3];
    image.pixels().for_each(|pixel| (0..3).for_each(|c| sums[c] += f64::from(pixel.0[c])));
    sums.map(|sum| sum / pixels)
}

/// Labels and the mean colour of every image, read in an order that jumps.
#[track_caller]
fn assert_holds(dataset: &dyn Dataset, expected: &serde_json::Value) {
    assert_eq!(labels(dataset), serde_json::from_value::<Vec<usize>>(expected["labels"].clone()).unwrap());
    assert_means(dataset, &expected["means"]);
}

#[track_caller]
fn assert_means(dataset: &dyn Dataset, expected: &serde_json::Value) {
    let means: Vec<[f64; 3]> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(means.len(), dataset.len());
    for step in 0..means.len() {
        let index = (step * 7) % means.len();
        let found = mean(dataset.image(index).unwrap());
        for (found, expected) in found.iter().zip(means[index]) {
            assert!((found - expected).abs() < 1.0, "{}: {found} {expected}", dataset.id(index));
        }
    }
}

#[test]
fn parquet_as_the_hub_stores_it() {
    let expected = expected();
    let splits = open_others("hub", &OpenOptions::default()).unwrap();
    assert_eq!(splits.train.class_names(), ["zebra", "ant", "newt"], "in the order of the metadata");
    assert_holds(splits.train.as_ref(), &expected["hub"]["train"]);
    let test = splits.test.unwrap();
    assert_holds(test.as_ref(), &expected["hub"]["test"]);
    assert_eq!(splits.train.id(18), "train-00001-of-00002.parquet:1");
    assert_eq!(splits.train.runs().unwrap(), [5, 5, 5, 2, 5, 4]);

    let classes = Some(["ant", "newt", "zebra"].map(String::from).to_vec());
    let other = open_others("hub", &OpenOptions { classes, ..OpenOptions::default() }).unwrap();
    assert_eq!((0..3).map(|i| other.train.label(i)).collect::<Vec<_>>(), [2, 0, 1]);

    let pattern = open_others("hub/data/train-*.parquet", &OpenOptions::default()).unwrap();
    assert_holds(pattern.train.as_ref(), &expected["hub"]["train"]);
    assert!(pattern.test.is_none());
    let test = open_others("hub/data/test-00000-of-00001.parquet", &OpenOptions::default()).unwrap();
    assert_holds(test.train.as_ref(), &expected["hub"]["test"]);
}

#[test]
fn parquet_with_other_columns() {
    let splits = open_others("cifar100", &OpenOptions::default()).unwrap();
    assert_eq!(splits.train.class_names(), ["apple", "bear"], "fine_label before coarse_label");
    assert_eq!(labels(splits.train.as_ref()), [1, 0, 1, 0]);
    assert_fails(splits.train.image(2), &["train-00000-of-00001.parquet:2", "no image"]);
    assert!(splits.train.image(3).is_ok());
    assert!(splits.test.is_none(), "a test split without labels is none");
    let coarse = OpenOptions { label_column: Some("coarse_label".into()), ..OpenOptions::default() };
    let splits = open_others("cifar100", &coarse).unwrap();
    assert_eq!(labels(splits.train.as_ref()), [1, 0, 2, 2]);
    let wrong = OpenOptions { label_column: Some("lable".into()), ..OpenOptions::default() };
    assert_fails(open_others("cifar100", &wrong), &["label_column", "fine_label"]);
}

#[test]
fn groups_and_times_of_a_table_divide_it() {
    let base = OpenOptions { validation_fraction: 0.34, ..OpenOptions::default() };
    let grouped = OpenOptions { group_column: Some("patient".into()), ..base.clone() };
    let splits = open_others("plain.parquet", &grouped).unwrap();
    assert_eq!(splits.train.class_names(), ["cat", "dog"]);
    let validation = splits.validation.unwrap();
    assert_eq!(validation.len(), 2);
    assert!((0..4).all(|i| splits.train.group(i) != validation.group(0)));
    assert_eq!(validation.group(0), validation.group(1));

    let timed = OpenOptions { time_column: Some("taken".into()), ..base };
    let validation = open_others("plain.parquet", &timed).unwrap().validation.unwrap();
    assert_eq!((0..2).map(|i| validation.id(i)).collect::<Vec<_>>(), ["plain.parquet:4", "plain.parquet:5"]);
}

#[test]
fn shards_of_the_webdataset_package() {
    let expected = expected();
    let names = || Some(["zebra", "ant", "newt"].map(String::from).to_vec());
    for spec in ["shards", "shards/tiny-train-{0000..0002}.tar", "shards/tiny-train-*.tar"] {
        let splits = open_others(spec, &OpenOptions::default()).unwrap();
        assert_eq!(splits.train.class_names(), ["0", "1", "2"]);
        assert_holds(splits.train.as_ref(), &expected["shards"]["train"]);
        assert_eq!(splits.train.runs().unwrap(), [4, 4, 3]);
        assert!(splits.train.id(4).starts_with("tiny-train-0001.tar/deep/folder/sample000004."));
        assert_eq!(splits.validation.is_some(), spec == "shards");
    }
    let splits = open_others("shards", &OpenOptions::default()).unwrap();
    assert_holds(splits.validation.unwrap().as_ref(), &expected["shards"]["validation"]);

    let options = OpenOptions {
        label_column: Some("name".into()),
        group_column: Some("patient".into()),
        classes: names(),
        ..OpenOptions::default()
    };
    let splits = open_others("shards", &options).unwrap();
    assert_holds(splits.train.as_ref(), &expected["shards"]["train"]);
    assert_eq!((splits.train.group(0), splits.train.group(1)), (splits.train.group(4), splits.train.group(5)));

    let spec = format!("wds/{}", others("shards/tiny-train-{0000..0002}.tar").display());
    assert_eq!(open(&spec, &OpenOptions::default()).unwrap().train.len(), 11);
    let data_dir = OpenOptions { data_dir: Some(others("shards")), ..OpenOptions::default() };
    assert_eq!(open("wds/tiny", &data_dir).unwrap().train.len(), 11);
}

#[test]
fn shards_are_streamed() {
    let expected = expected();
    let options =
        OpenOptions { classes: Some(["zebra", "ant", "newt"].map(String::from).to_vec()), ..OpenOptions::default() };
    let spec = others("shards/tiny-train-{0000..0002}.tar");
    let stream = |config: StreamConfig| ShardStream::open(spec.to_str().unwrap(), &options, config).unwrap();
    let ids = |stream: &ShardStream, epoch| -> Vec<String> { stream.epoch(epoch).map(|s| s.unwrap().id).collect() };

    let plain = stream(StreamConfig { buffer: 1, shuffle_shards: false, ..StreamConfig::default() });
    let samples: Vec<_> = plain.epoch(0).map(|sample| sample.unwrap()).collect();
    let found: Vec<usize> = samples.iter().map(|sample| sample.label).collect();
    assert_eq!(serde_json::json!(found), expected["shards"]["train"]["labels"]);
    assert_eq!(samples[3].id, "tiny-train-0000.tar/deep/folder/sample000003");
    assert!(samples[5].id.ends_with("-with-a-long-name"), "{}", samples[5].id);
    samples.iter().for_each(|sample| assert_eq!(sample.image().unwrap().width(), 20));

    let mixed = stream(StreamConfig { buffer: 4, initial: 2, seed: 3, ..StreamConfig::default() });
    let (first, second) = (ids(&mixed, 0), ids(&mixed, 1));
    assert_ne!(first, second);
    assert_eq!(first, ids(&mixed, 0));
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(first.clone()), sorted(samples.iter().map(|sample| sample.id.clone()).collect()));
    // Two readers share the shards of an epoch.
    let half = |index| stream(StreamConfig { part: (index, 2), seed: 3, ..StreamConfig::default() });
    assert_eq!(sorted([ids(&half(0), 0), ids(&half(1), 0)].concat()), sorted(first));
    drop(mixed.epoch(0));

    let nameless = ShardStream::open(spec.to_str().unwrap(), &OpenOptions::default(), StreamConfig::default());
    assert_fails(nameless.map(|_| ()), &["classnames.txt"]);
}

#[test]
fn a_folder_as_torchvision_reads_it() {
    let expected = &expected()["folder"];
    let options = OpenOptions { class_order: ClassOrder::Lexical, ..OpenOptions::default() };
    let train = open_others("folder", &options).unwrap().train;
    assert_eq!(serde_json::json!(train.class_names()), expected["classes"]);
    let samples: Vec<_> = (0..train.len()).map(|i| serde_json::json!([train.id(i), train.label(i)])).collect();
    assert_eq!(serde_json::json!(samples), expected["samples"]);
    assert_means(train.as_ref(), &expected["means"]);
    let data_dir = OpenOptions { data_dir: Some(others("folder")), ..OpenOptions::default() };
    assert_eq!(open("torch/image_folder", &data_dir).unwrap().train.class_names(), train.class_names());
}

#[test]
fn images_of_every_mode_as_pillow_decodes_them() {
    let text = std::fs::read_to_string(others("pillow.json")).unwrap();
    let files: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut wrong = Vec::new();
    for (name, facts) in &files {
        let image = match decode_file(&others("pillow").join(name)) {
            Ok(image) => image,
            Err(error) => {
                wrong.push(error.to_string());
                continue;
            }
        };
        let image = tallow_augment::Image8::from_dynamic(image, 3).unwrap();
        if serde_json::json!([image.width(), image.height()]) != facts["size"] {
            wrong.push(format!("{name}: {:?}", image.size()));
            continue;
        }
        let rows: Vec<Vec<[u8; 3]>> = serde_json::from_value(facts["pixels"].clone()).unwrap();
        let mut worst = 0;
        for (y, row) in rows.iter().enumerate() {
            for (x, expected) in row.iter().enumerate() {
                let found = &image.row(5 * y)[9 * x..9 * x + 3];
                worst = found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap().max(worst);
            }
        }
        // JPEG decoders differ: in the cosines by a level, where colour is at half the size by more.
        let allowed = if Path::new(name).extension().unwrap() == "jpg" { 4 } else { 0 };
        if worst > allowed {
            wrong.push(format!("{name}: {worst} levels off"));
        }
    }
    assert!(files.len() > 25 && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn folds_are_as_even_as_those_of_scikit_learn() {
    let facts: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(others("folds.json")).unwrap()).unwrap();
    let list = |name: &str| -> Vec<usize> { serde_json::from_value(facts[name].clone()).unwrap() };
    let (labels, groups) = (list("labels"), list("groups"));
    let counts = |folds: &[Vec<usize>]| -> Vec<Vec<usize>> {
        let count = |fold: &Vec<usize>| {
            let mut counts = vec![0; 5];
            fold.iter().for_each(|i| counts[labels[*i]] += 1);
            counts
        };
        folds.iter().map(count).collect()
    };
    /// The largest difference between two folds in the number of a class's samples, a class.
    fn spread(counts: &[Vec<usize>]) -> Vec<usize> {
        let of_class = |class: usize| {
            let of = || counts.iter().map(|fold| fold[class]);
            of().max().unwrap() - of().min().unwrap()
        };
        (0..5).map(of_class).collect()
    }
    let ours = counts(&tallow_data::stratified_k_fold(&labels, 5, 0));
    let theirs: Vec<Vec<usize>> = serde_json::from_value(facts["stratified"].clone()).unwrap();
    assert_eq!(spread(&ours), spread(&theirs));

    // Whole groups: ten seeds each, for chance decides much.
    let mean = |all: Vec<Vec<Vec<usize>>>| {
        all.iter().map(|counts| spread(counts).iter().sum::<usize>()).sum::<usize>() as f64 / all.len() as f64
    };
    let theirs = mean(serde_json::from_value(facts["grouped"].clone()).unwrap());
    let ours = mean((0..10).map(|seed| counts(&tallow_data::group_k_fold(&groups, &labels, 5, seed))).collect());
    assert!(ours <= 1.1 * theirs, "{ours}, scikit-learn's {theirs}");

    let times: Vec<f64> = (0..labels.len()).map(|i| i as f64).collect();
    let ours = tallow_data::time_series_folds(&times, 4);
    let ours: Vec<_> = ours.iter().map(|fold| serde_json::json!([fold.train.len(), fold.held_out])).collect();
    assert_eq!(serde_json::json!(ours), facts["time"]);
}
