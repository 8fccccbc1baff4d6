//! An audit of photographs with planted faults finds them and no others; the cleaned manifest can be opened.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, imageops::FilterType};
use tallow_audit::clean::{self, Action, Policy};
use tallow_audit::labels::{self, Probabilities};
use tallow_audit::{AuditConfig, Issue, Kind, Samples, checks, duplicates, report, scan};
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
    let mut issues = checks::find(samples, &scanned, &config);
    issues.extend(duplicates::find(samples, &scanned, &config));
    issues
}

/// The ids with an issue of a kind.
fn ids(samples: &Samples, issues: &[Issue], kind: Kind) -> Vec<String> {
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
    assert_eq!(found(Kind::Unreadable), ["train/a/truncated.jpg", "train/b/empty.jpg", "train/b/text.png"]);
    assert_eq!(found(Kind::ExactDuplicate), ["train/a/coffee.png", "train/a/copy.bmp", "train/a/copy.png"]);
    assert_eq!(
        found(Kind::NearDuplicate),
        ["train/b/brighter.png", "train/b/chelsea.png", "train/b/recompressed.jpg", "train/b/scaled.png"]
    );
    assert_eq!(found(Kind::Leakage), ["test/b/leaked.jpg", "train/b/rocket.png"]);
    let has = |kind, id: &str| assert!(found(kind).contains(&id.to_owned()), "{kind:?}: {:?}", found(kind));
    has(Kind::Dark, "train/a/dark.png");
    has(Kind::Bright, "train/a/bright.png");
    has(Kind::Blurry, "train/a/blurred.png");
    has(Kind::LowInformation, "train/a/empty.png");
    assert_eq!(found(Kind::Noisy), ["train/a/noisy.png", "train/a/salted.png"]);
    has(Kind::GreyAmongColour, "train/a/grey.png");
    has(Kind::OddSize, "train/a/huge.png");
    assert_eq!(found(Kind::OddAspectRatio), ["train/a/strip.png"]);

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
    for kind in [Kind::Unreadable, Kind::ExactDuplicate, Kind::Leakage] {
        assert!(ids(&cleaned, &left, kind).is_empty(), "{kind:?}");
    }
    let stray = |samples: &Samples, name: &str| {
        let index = (0..samples.len()).find(|index| samples.id(*index).ends_with(name)).expect(name);
        let picture = tallow_audit::Picture::new(samples.image(index).expect(name)).expect(name);
        checks::noise::measure(&picture.grey).stray
    };
    let salted = actions.iter().position(|action| *action == Action::Denoise).map(|sample| samples.locate(sample).2);
    assert!(salted.is_some() && stray(&samples, "salted.png") > 0.02);
    let denoised: Vec<String> =
        (0..cleaned.len()).map(|i| cleaned.id(i)).filter(|id| id.starts_with("images/")).collect();
    assert_eq!(denoised.len(), 2);
    assert!(denoised.iter().all(|id| stray(&cleaned, id) < 0.002), "{denoised:?}");

    report::write_csv(&out.path().join("issues.csv"), &samples, &issues).expect("issues.csv");
    report::html::write_page(&out.path().join("index.html"), "<photos>", &samples, &issues, 10).expect("index.html");
    let csv = std::fs::read_to_string(out.path().join("issues.csv")).expect("issues.csv");
    assert_eq!(csv.lines().count(), issues.len() + 1);
    let page = std::fs::read_to_string(out.path().join("index.html")).expect("index.html");
    assert!(page.contains("&lt;photos&gt;") && page.contains("id=\"unreadable\"") && page.contains("data:image/"));
    println!("{}", report::Summary::new(&samples, &issues));
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
    let config = AuditConfig { filter: labels::Filter::PredictedNeqGiven, ..AuditConfig::default() };
    let issues = labels::find(&samples, &p, &rows, &config);
    assert_eq!(issues.len(), 1);
    assert_eq!((issues[0].sample, issues[0].suggested), (Some(2), Some((samples.label(2) + 3) % 10)));
    let relabelled = clean::plan(&samples, &issues, &Policy { relabel: true, ..Policy::default() });
    assert_eq!(relabelled[2], Action::Relabel((samples.label(2) + 3) % 10));
    assert_eq!(clean::plan(&samples, &issues, &Policy::default())[2], Action::Drop(Kind::WrongLabel));

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
