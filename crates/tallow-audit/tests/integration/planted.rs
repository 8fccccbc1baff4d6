//! An audit of photographs with planted faults finds them and no others; the cleaned manifest can be opened.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, imageops::FilterType};
use tallow_audit::clean::{self, Action, Policy};
use tallow_audit::labels::{self, Probabilities};
use tallow_audit::{AuditConfig, Findings, Issue, IssueKind, Samples, checks, duplicates, measures, report, scan};
use tallow_base::rng;
use tallow_data::{OpenOptions, open};

/// Photographs in colour, by the name of their file.
const PHOTOS: &[&str] = &["astronaut", "chelsea", "coffee", "hubble", "retina", "rocket"];

fn photo(name: &str) -> DynamicImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/audit/{name}.png"));
    tallow_data::decode::decode_file(&path).expect(name)
}

/// A folder with a part of each photograph in either split, to which faults are added.
struct Planted {
    folder: tempfile::TempDir,
}

impl Planted {
    fn new() -> Self {
        let planted = Self { folder: tempfile::tempdir().expect("a folder") };
        for (number, name) in PHOTOS.iter().enumerate() {
            let image = photo(name);
            let half = image.width() / 2;
            let class = ["a", "b"][number % 2];
            planted.save(&format!("train/{class}/{name}.png"), &image.crop_imm(0, 0, half, image.height()));
            planted.save(&format!("test/{class}/{name}.png"), &image.crop_imm(half, 0, half, image.height()));
        }
        planted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn save(&self, name: &str, image: &DynamicImage) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        image.save(path).expect(name);
    }

    fn image(&self, name: &str) -> DynamicImage {
        tallow_data::decode::decode_file(&self.path(name)).expect(name)
    }

    fn samples(&self) -> Samples {
        let spec = self.folder.path().to_string_lossy().into_owned();
        Samples::new(&open(&spec, &OpenOptions::default()).expect("the dataset"))
    }
}

fn audit(samples: &Samples) -> Vec<Issue> {
    let config = AuditConfig::default();
    let scanned = scan(samples, |_| {});
    let mut issues = checks::find(samples, &scanned, &config).issues;
    issues.extend(duplicates::find(samples, &scanned, &config));
    issues
}

/// The ids with an issue of a kind.
fn ids(samples: &Samples, issues: &[Issue], kind: IssueKind) -> Vec<String> {
    let of_kind = issues.iter().filter(|issue| issue.kind == kind).filter_map(|issue| issue.sample);
    of_kind.map(|sample| samples.id(sample)).collect::<BTreeSet<_>>().into_iter().collect()
}

fn noisy(image: &DynamicImage, sigma: f64, stray: f64) -> DynamicImage {
    let mut image = image.to_rgb8();
    let mut rng = rng::keyed(7, 0, 0, rng::AUGMENT);
    for pixel in image.pixels_mut() {
        let hit = rng::chance(&mut rng, stray);
        let level = rng::uniform(&mut rng, 0.0, 1.0);
        for channel in &mut pixel.0 {
            let normal = (0..12).map(|_| rng::uniform(&mut rng, 0.0, 1.0)).sum::<f64>() - 6.0;
            *channel = match hit {
                true => 255 * u8::from(level < 0.5),
                false => (f64::from(*channel) + sigma * normal).clamp(0.0, 255.0) as u8,
            };
        }
    }
    image.into()
}

#[test]
fn intact_photographs_have_no_issues() {
    let planted = Planted::new();
    let samples = planted.samples();
    let found: Vec<String> = audit(&samples)
        .iter()
        .map(|issue| {
            format!(
                "{} {} {}",
                issue.kind.name(),
                issue.sample.map_or_else(String::new, |s| samples.id(s)),
                issue.detail
            )
        })
        // These are not false alarms: space is dark, and the background of the retina has one colour.
        .filter(|text| !text.contains("hubble") && !text.contains("retina"))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_planted_fault_is_found_with_its_kind() {
    let planted = Planted::new();
    let (coffee, cat) = (planted.image("train/a/coffee.png"), planted.image("train/b/chelsea.png"));
    planted.save("train/a/copy.png", &coffee);
    planted.save("train/a/copy.bmp", &coffee);
    planted.save("train/b/recompressed.jpg", &cat);
    planted.save("train/b/scaled.png", &cat.resize(96, 200, FilterType::Lanczos3));
    planted.save("train/b/brighter.png", &cat.brighten(12));
    planted.save("test/b/leaked.jpg", &planted.image("train/b/rocket.png"));
    let dark = photo("astronaut").crop_imm(30, 0, 60, 90).adjust_contrast(-85.0).brighten(-100);
    planted.save("train/a/dark.png", &dark);
    planted.save("train/a/bright.png", &photo("coffee").crop_imm(20, 5, 60, 60).adjust_contrast(-90.0).brighten(130));
    planted.save("train/a/blurred.png", &photo("astronaut").crop_imm(10, 20, 70, 80).blur(5.0));
    planted.save(
        "train/a/empty.png",
        &DynamicImage::ImageRgb8(image::RgbImage::from_pixel(56, 80, image::Rgb([90, 120, 60]))),
    );
    planted.save("train/a/noisy.png", &noisy(&photo("coffee").crop_imm(30, 0, 60, 75), 25.0, 0.0));
    planted.save("train/a/salted.png", &noisy(&photo("chelsea").crop_imm(30, 0, 60, 70), 0.0, 0.05));
    planted.save("train/a/grey.png", &photo("camera").crop_imm(20, 20, 56, 80));
    planted.save("train/a/huge.png", &photo("rocket").resize(900, 900, FilterType::Triangle));
    planted.save("train/a/strip.png", &photo("coffee").crop_imm(0, 30, 112, 20));
    let jpeg = planted.path("train/a/truncated.jpg");
    photo("rocket").crop_imm(0, 0, 80, 70).save_with_format(&jpeg, ImageFormat::Jpeg).expect("a JPEG");
    let bytes = std::fs::read(&jpeg).expect("a JPEG");
    std::fs::write(&jpeg, &bytes[..bytes.len() * 2 / 3]).expect("a JPEG");
    std::fs::write(planted.path("train/b/text.png"), "not a picture").expect("a file");
    std::fs::write(planted.path("train/b/empty.jpg"), "").expect("a file");

    let samples = planted.samples();
    let issues = audit(&samples);
    let found = |kind| ids(&samples, &issues, kind);
    assert_eq!(found(IssueKind::Unreadable), ["train/a/truncated.jpg", "train/b/empty.jpg", "train/b/text.png"]);
    assert_eq!(found(IssueKind::ExactDuplicate), ["train/a/coffee.png", "train/a/copy.bmp", "train/a/copy.png"]);
    assert_eq!(
        found(IssueKind::NearDuplicate),
        ["train/b/brighter.png", "train/b/chelsea.png", "train/b/recompressed.jpg", "train/b/scaled.png"]
    );
    assert_eq!(found(IssueKind::Leakage), ["test/b/leaked.jpg", "train/b/rocket.png"]);
    let has = |kind, id: &str| assert!(found(kind).contains(&id.to_owned()), "{kind:?}: {:?}", found(kind));
    has(IssueKind::Dark, "train/a/dark.png");
    has(IssueKind::Bright, "train/a/bright.png");
    has(IssueKind::Blurry, "train/a/blurred.png");
    has(IssueKind::LowInformation, "train/a/empty.png");
    assert_eq!(found(IssueKind::Noisy), ["train/a/noisy.png", "train/a/salted.png"]);
    has(IssueKind::GreyAmongColour, "train/a/grey.png");
    has(IssueKind::OddSize, "train/a/huge.png");
    assert_eq!(found(IssueKind::OddAspectRatio), ["train/a/strip.png"]);

    // The cleaned dataset has none of the issues and can be opened.
    let out = tempfile::tempdir().expect("a folder");
    let policy = Policy { denoise: true, ..Policy::default() };
    let actions = clean::plan(&samples, &issues, &policy);
    let applied = clean::apply(&samples, &actions, planted.folder.path(), out.path()).expect("a manifest");
    // Dropped are two of three equal images, the training copy of the leak, and three unreadable files.
    assert_eq!((applied.dropped, applied.denoised, applied.relabelled), (6, 2, 0));
    let cleaned = open(&applied.manifest.to_string_lossy(), &OpenOptions::default()).expect("the manifest");
    let cleaned = Samples::new(&cleaned);
    assert_eq!(cleaned.len(), samples.len() - 6);
    assert_eq!(cleaned.class_names(), samples.class_names());
    let left = audit(&cleaned);
    for kind in [IssueKind::Unreadable, IssueKind::ExactDuplicate, IssueKind::Leakage] {
        assert!(ids(&cleaned, &left, kind).is_empty(), "{kind:?}");
    }
    let stray = |samples: &Samples, name: &str| {
        let index = (0..samples.len()).find(|index| samples.id(*index).ends_with(name)).expect(name);
        let picture = tallow_audit::Picture::new(samples.image(index).expect(name)).expect(name);
        measures::noise::measure(&picture.grey).stray
    };
    let salted = actions.iter().position(|action| *action == Action::Denoise).map(|sample| samples.locate(sample).2);
    assert!(salted.is_some() && stray(&samples, "salted.png") > 0.02);
    let denoised: Vec<String> =
        (0..cleaned.len()).map(|i| cleaned.id(i)).filter(|id| id.starts_with("images/")).collect();
    assert_eq!(denoised.len(), 2);
    assert!(denoised.iter().all(|id| stray(&cleaned, id) < 0.002), "{denoised:?}");

    report::write_csv(&out.path().join("issues.csv"), &samples, &issues).expect("issues.csv");
    let findings = Findings::from(issues.clone());
    report::html::write_page(&out.path().join("index.html"), "<photos>", &samples, &findings, 10).expect("index.html");
    let csv = std::fs::read_to_string(out.path().join("issues.csv")).expect("issues.csv");
    assert_eq!(csv.lines().count(), issues.len() + 1);
    let page = std::fs::read_to_string(out.path().join("index.html")).expect("index.html");
    assert!(page.contains("&lt;photos&gt;") && page.contains("id=\"unreadable\"") && page.contains("data:image/"));
    println!("{}", report::Summary::new(&samples, &issues));
}

/// Drawings in white on black: `count` of them, with strokes of different lengths.
fn drawings(folder: &Path, count: u32) {
    for number in 0..count {
        let mut image = image::GrayImage::new(28, 28);
        for step in 0..10 + number % 12 {
            let (x, y) = (6 + step * (1 + number % 3) % 17, 4 + (step * (2 + number / 7 % 5) + number) % 20);
            for (dx, dy, level) in [(0, 0, 250), (1, 0, 180), (0, 1, 120), (1, 1, 60)] {
                image.put_pixel(x + dx, y + dy, image::Luma([level]));
            }
        }
        let path = folder.join(["a", "b"][number as usize % 2]).join(format!("{number}.png"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        image.save(path).expect("a drawing");
    }
}

#[test]
fn a_threshold_made_for_photographs_gives_way_to_the_datasets_own() {
    let folder = tempfile::tempdir().expect("a folder");
    drawings(folder.path(), 60);
    image::GrayImage::new(28, 28).save(folder.path().join("a/blank.png")).expect("a picture");
    image::RgbImage::from_pixel(28, 28, image::Rgb([9, 80, 70]))
        .save(folder.path().join("b/plain.png"))
        .expect("a picture");
    let samples = Samples::new(&open(&folder.path().to_string_lossy(), &OpenOptions::default()).expect("a folder"));
    let scanned = scan(&samples, |_| {});
    let kind = IssueKind::LowInformation;
    let found = checks::find(&samples, &scanned, &AuditConfig::default());
    assert_eq!(ids(&samples, &found.issues, kind), ["a/blank.png", "b/plain.png"]);
    let note = found.notes.iter().find(|note| note.kind == kind).expect("a note");
    assert!(note.text.starts_with("100 % of the images score below 0.3"), "{}", note.text);

    // A threshold of the user is taken as it is, and 0 disables the check, blank images included.
    let with = |threshold| AuditConfig { thresholds: [(kind, threshold)].into(), ..AuditConfig::default() };
    let found = checks::find(&samples, &scanned, &with(0.3));
    assert_eq!(ids(&samples, &found.issues, kind).len(), samples.len());
    assert!(found.notes.iter().all(|note| note.kind != kind));
    assert!(ids(&samples, &checks::find(&samples, &scanned, &with(0.0)).issues, kind).is_empty());
}

#[test]
fn fashion_mnist_is_not_reported_as_low_information() {
    let samples = Samples::new(&open("fashion-mnist-6k", &OpenOptions::default()).expect("bundled")).truncated(1000);
    let scanned = scan(&samples, |_| {});
    let found = checks::find(&samples, &scanned, &AuditConfig::default());
    let kind = IssueKind::LowInformation;
    assert_eq!(ids(&samples, &found.issues, kind), [""; 0]);
    assert!(found.notes.iter().any(|note| note.kind == kind));
}

#[test]
fn issues_that_were_ticked_off_are_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    drawings(folder.path(), 12);
    let blank = image::GrayImage::new(28, 28);
    for name in ["a/blank, \"1\".png", "a/blank2.png", "b/blank3.png"] {
        blank.save(folder.path().join(name)).expect("a picture");
    }
    let samples = Samples::new(&open(&folder.path().to_string_lossy(), &OpenOptions::default()).expect("a folder"));
    let mut findings = Findings::from(audit(&samples));
    let page = folder.path().join("index.html");
    report::html::write_page(&page, "drawings", &samples, &findings, 10).expect("index.html");
    let page = std::fs::read_to_string(page).expect("index.html");
    // The page carries the lines that a tick saves: one for each sample of a group.
    let lines = "&quot;a/blank, &quot;&quot;1&quot;&quot;.png&quot;,train,a,exact_duplicate\na/blank2.png,train,a,exact_duplicate\n\
                 b/blank3.png,train,b,exact_duplicate\n";
    assert!(page.contains(&format!("data-rows=\"{lines}\"")), "{page}");
    assert!(page.contains("data-header=\"id,split,label,kind\"") && page.contains("default-src 'none'"));

    let read = |text: &str| {
        let path = folder.path().join("reviewed.csv");
        std::fs::write(&path, text).expect("a file");
        report::reviewed::read(&path, &samples).map_err(|error| error.to_string())
    };
    let before = findings.issues.len();
    let saved = format!("id,split,label,kind\n{}", lines.replace("&quot;", "\""));
    assert_eq!(findings.leave_out(&read(&saved).expect("a review")), 3);
    assert_eq!(findings.issues.len(), before - 3);
    assert!(ids(&samples, &findings.issues, IssueKind::ExactDuplicate).is_empty());
    assert_eq!(ids(&samples, &findings.issues, IssueKind::LowInformation).len(), 3);

    // A sample that has another label now is to be looked at again.
    assert!(read("id,split,label,kind\na/blank2.png,train,b,exact_duplicate\n").expect("a review").is_empty());
    for (text, expected) in [
        ("id,label,kind\n", "line 1: column `split` is missing"),
        ("id,split,label,kind\na/none.png,train,a,dark\n", "line 2: the dataset has no sample `a/none.png`"),
        ("id,split,label,kind\na/blank2.png,train,a,darkish\n", "line 2: `kind of issue` must be one of"),
    ] {
        assert!(read(text).is_err_and(|error| error.contains(expected)), "{text}");
    }
}

/// Predictions of five bundled images; that of the third differs from its label.
fn predictions(samples: &Samples, edit: impl Fn(String) -> String) -> Result<(Probabilities, Vec<usize>), String> {
    let classes = samples.class_names();
    let mut text =
        format!("id,label,predicted,{}\n", classes.iter().map(|c| format!("p_{c}")).collect::<Vec<_>>().join(","));
    for sample in [4, 0, 2, 3, 1] {
        let label = samples.label(sample);
        let seen = if sample == 2 { (label + 3) % classes.len() } else { label };
        let p: Vec<&str> = (0..classes.len()).map(|class| if class == seen { "0.91" } else { "0.01" }).collect();
        text += &format!("{},{},{},{}\n", samples.id(sample), classes[label], classes[seen], p.join(","));
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), edit(text)).expect("a file");
    Probabilities::read(file.path(), samples).map_err(|error| error.to_string())
}

#[test]
fn predictions_are_read_by_id_and_invalid_ones_are_errors() {
    let samples = Samples::new(&open("fashion-mnist-6k", &OpenOptions::default()).expect("bundled"));
    let (p, rows) = predictions(&samples, |text| text).expect("predictions");
    assert_eq!(rows, [4, 0, 2, 3, 1]);
    let (filter, rank_by) = (labels::Filter::PredictedNeqGiven, labels::RankBy::SelfConfidence);
    let Findings { issues, notes } = labels::find(&samples, &p, &rows, "Predictions of oof.csv", filter, rank_by);
    assert!(
        notes[0].text.starts_with("Predictions of oof.csv: the model predicts 4 of 5 labels (80.0 %)"),
        "{notes:?}"
    );
    assert_eq!(issues.len(), 1);
    assert_eq!((issues[0].sample, issues[0].suggested), (Some(2), Some((samples.label(2) + 3) % 10)));
    let relabelled = clean::plan(&samples, &issues, &Policy { relabel: true, ..Policy::default() });
    assert_eq!(relabelled[2], Action::Relabel((samples.label(2) + 3) % 10));
    assert_eq!(clean::plan(&samples, &issues, &Policy::default())[2], Action::Drop(IssueKind::WrongLabel));

    for (from, to, said) in [
        ("p_Bag", "p_Sack", "p_Bag"),
        ("train/3,", "train/99999,", "no sample `train/99999`"),
        ("train/3,", "train/2,", "is also in line"),
        ("0.91", "9.1", "9.1 is not from 0 to 1"),
        ("0.91", "0.5", "sum to"),
        ("0.91", "much", "expected a number"),
    ] {
        let error = predictions(&samples, |text| text.replacen(from, to, 1)).expect_err(from);
        assert!(error.contains(said) && error.contains(", line "), "{error}");
    }
    let label = samples.class(4).to_owned();
    let other = if label == "Bag" { "Coat" } else { "Bag" };
    let error =
        predictions(&samples, |text| text.replacen(&format!("train/4,{label}"), &format!("train/4,{other}"), 1));
    assert!(error.is_err_and(|error| error.contains("the labels of this dataset")));
}
