//! Compares with values recorded from cleanlab, cleanvision and imagehash by `fixtures/scripts/audit.py`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tallow_audit::clean::median_filter;
use tallow_audit::embedding::{self, Embeddings};
use tallow_audit::labels::{self, Filter, Probabilities, RankBy, confident};
use tallow_audit::{Picture, measures};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/audit").join(name)
}

fn cases<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
    let text = std::fs::read_to_string(fixture(name)).expect(name);
    serde_json::from_str(&text).expect(name)
}

fn close(ours: &[f64], theirs: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}[{i}]: {a}, expected {b}");
    }
}

#[derive(Deserialize)]
struct LabelCase {
    name: String,
    labels: Vec<usize>,
    probabilities: Vec<Vec<f64>>,
    thresholds: Vec<f64>,
    joint: Vec<Vec<f64>>,
    off_diagonal: Vec<usize>,
    masks: std::collections::BTreeMap<Filter, Vec<usize>>,
    ranked: std::collections::BTreeMap<RankBy, Vec<usize>>,
    scores: std::collections::BTreeMap<RankBy, Vec<f64>>,
}

#[test]
fn wrong_labels_equal_cleanlabs() {
    let cases: Vec<LabelCase> = cases("labels.json");
    assert_eq!(cases.len(), 6);
    for case in cases {
        let name = &case.name;
        let k = case.probabilities[0].len();
        let p = Probabilities::new(k, case.labels, case.probabilities.concat()).expect(name);
        close(&confident::thresholds(&p), &case.thresholds, 1e-9, name);
        let joint = labels::confident_joint(&p);
        assert_eq!(joint.counts, case.joint, "{name}");
        assert_eq!(joint.off_diagonal, case.off_diagonal, "{name}");
        assert_eq!((case.masks.len(), case.ranked.len(), case.scores.len()), (5, 3, 3));
        for (filter, expected) in case.masks {
            let mask = labels::label_issues_mask(&p, filter);
            let found: Vec<usize> = (0..mask.len()).filter(|sample| mask[*sample]).collect();
            assert_eq!(found, expected, "{name}: {filter:?}");
        }
        for (rank_by, expected) in case.ranked {
            let found = labels::find_label_issues(&p, Filter::PruneByNoiseRate, rank_by);
            assert_eq!(found, expected, "{name}: {rank_by:?}");
        }
        for (rank_by, expected) in case.scores {
            close(&labels::label_quality_scores(&p, rank_by), &expected, 1e-9, name);
        }
    }
}

#[derive(Deserialize)]
struct EmbeddingCase {
    name: String,
    dim: usize,
    values: Vec<f32>,
    indices: Vec<Vec<usize>>,
    distances: Vec<Vec<f64>>,
    outlier_scores: Vec<f64>,
    outliers: Vec<usize>,
    near_scores: Vec<f64>,
    near_sets: Vec<Vec<usize>>,
    statistic: f64,
    p_value: f64,
}

#[test]
fn outliers_near_duplicates_and_order_equal_cleanlabs() {
    let cases: Vec<EmbeddingCase> = cases("embeddings.json");
    assert_eq!(cases.len(), 3);
    for case in cases {
        let name = &case.name;
        let embeddings = Embeddings::new(case.dim, case.values).expect(name);
        let found = embedding::neighbours(&embeddings, 10);
        assert_eq!(found.indices, case.indices.concat(), "{name}");
        close(&found.distances, &case.distances.concat(), 1e-6, name);

        let (scores, is_outlier): (Vec<f64>, Vec<bool>) = embedding::outliers(&found, 0.37037).into_iter().unzip();
        close(&scores, &case.outlier_scores, 1e-5, name);
        let outliers: Vec<usize> = (0..scores.len()).filter(|sample| is_outlier[*sample]).collect();
        assert_eq!(outliers, case.outliers, "{name}");

        let (scores, mut near): (Vec<f64>, Vec<Vec<usize>>) =
            embedding::near_duplicates(&found, 0.13).into_iter().unzip();
        near.iter_mut().for_each(|others| others.sort_unstable());
        close(&scores, &case.near_scores, 1e-5, name);
        assert_eq!(near, case.near_sets, "{name}");
        assert!(near.iter().any(|others| !others.is_empty()), "{name}: two are planted");

        let order = embedding::order(&found, 25, 0);
        assert!((order.statistic - case.statistic).abs() < 1e-9, "{name}: {order:?}");
        // The permutations differ from cleanlab's, so the p-values are close, not equal.
        match case.p_value < 1e-6 {
            true => assert!(order.p_value < 1e-4, "{name}: {order:?}"),
            false => assert!((order.p_value - case.p_value).abs() < 0.2, "{name}: {order:?}, {}", case.p_value),
        }
    }
}

#[derive(Deserialize)]
struct PictureCase {
    name: String,
    phash: String,
    dhash: String,
    brightness_p5: f64,
    brightness_p99: f64,
    entropy: f64,
    edges: f64,
    effect: f64,
    peaks: f64,
    median_filtered_sum: u64,
    median_filtered_head: Vec<u8>,
}

#[test]
fn measures_equal_those_of_cleanvision_and_imagehash() {
    let cases: Vec<PictureCase> = cases("pictures.json");
    assert_eq!(cases.len(), 10);
    for case in cases {
        let name = &case.name;
        let image = tallow_data::decode::decode_file(&fixture(&format!("{name}.png"))).expect(name);
        let picture = Picture::new(image).expect(name);
        let measures = measures::measure(&picture).expect(name);
        assert_eq!(format!("{:016x}", measures.perceptual.phash), case.phash, "{name}");
        assert_eq!(format!("{:016x}", measures.perceptual.dhash), case.dhash, "{name}");
        let ours = [measures.brightness_p5, measures.brightness_p99, measures.entropy];
        close(&ours, &[case.brightness_p5, case.brightness_p99, case.entropy], 1e-3, name);
        // Colour is converted to grey before resizing, not after it: some levels differ by one.
        let ours = [measures.edges.deviation / case.edges, measures.edges.peaks / case.peaks];
        close(&ours, &[1.0, 1.0], 0.03, name);
        close(&[measures.edges.effect], &[case.effect], 1e-9, name);
        let filtered = median_filter(&picture.image).expect(name);
        assert_eq!(filtered.data()[..60], case.median_filtered_head, "{name}");
        assert_eq!(filtered.data().iter().map(|v| u64::from(*v)).sum::<u64>(), case.median_filtered_sum, "{name}");
    }
}
