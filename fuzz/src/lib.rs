//! What each fuzz target does with an input. The tests of tallow-cli include this file and run the inputs in `seeds/`.
//!
//! Errors are expected: it fails by a panic, by memory or by time.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::OnceLock;

use image::DynamicImage;
use tallow_data::{Dataset, OpenOptions, Splits, StreamConfig};

/// A reader under test.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("images", images),
    ("idx", idx),
    ("cifar", cifar),
    ("tar", tar),
    ("parquet", parquet),
    ("manifest", manifest),
    ("config", config),
    ("safetensors", weights),
    ("pickle", weights),
    ("checkpoint", checkpoint),
    ("http", http),
];

/// Runs a target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    target.1(data);
}

/// A picture file.
fn images(data: &[u8]) {
    let _ = tallow_data::decode::decode_bytes(data, Path::new("picture"));
}

/// Two files of MNIST's format, used for both splits: images, then labels. The first byte divides the input.
fn idx(data: &[u8]) {
    let Some((&at, data)) = data.split_first() else { return };
    let (images, labels) = data.split_at(data.len() * usize::from(at) / 256);
    let files = [("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)];
    let names =
        ["train-", "t10k-"].iter().flat_map(|prefix| files.map(|(name, bytes)| (format!("{prefix}{name}"), bytes)));
    open("mnist", &names.collect::<Vec<_>>(), OpenOptions::default());
}

/// A file of CIFAR's records, used for all six.
fn cifar(data: &[u8]) {
    let names = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
    open("cifar10", &names.map(|name| (format!("{name}.bin"), data)), OpenOptions::default());
}

/// A shard, indexed and streamed.
fn tar(data: &[u8]) {
    let file = [("0.tar".to_owned(), data)];
    open("0.tar", &file, OpenOptions::default());
    open("0.tar", &file, OpenOptions { stream: true, samples_per_epoch: Some(4), ..OpenOptions::default() });
}

/// A Parquet file.
fn parquet(data: &[u8]) {
    open("0.parquet", &[("0.parquet".to_owned(), data)], OpenOptions::default());
}

/// A manifest: the first byte decides between CSV and JSON lines.
fn manifest(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let name = if first % 2 == 0 { "m.csv" } else { "m.jsonl" };
    open(name, &[(name.to_owned(), data)], OpenOptions::default());
}

/// A run's or a recipe's TOML.
fn config(data: &[u8]) {
    let folder = folder(&[("c.toml".to_owned(), data)]);
    let path = folder.path().join("c.toml");
    if let Ok(config) = tallow_train::config::read(&path, &[]) {
        let _ = config.to_toml();
    }
}

/// A weights file: safetensors or PyTorch's.
fn weights(data: &[u8]) {
    let folder = folder(&[("weights".to_owned(), data)]);
    let Ok(state) = tallow_export::StateDict::read(&folder.path().join("weights")) else { return };
    let config = tallow_models::ModelConfig { num_classes: 2, in_chans: 1, input_size: (8, 8), ..Default::default() };
    let built = tallow_models::build("small_cnn", &config, 0, &candle_core::Device::Cpu).expect("a model");
    let _ = tallow_export::load_pretrained(&state, &built, Default::default());
}

/// A checkpoint of training.
fn checkpoint(data: &[u8]) {
    let folder = folder(&[("last.safetensors".to_owned(), data)]);
    let Ok(checkpoint) = tallow_run::Checkpoint::load(&folder.path().join("last.safetensors")) else { return };
    let _ = checkpoint.position::<serde_json::Value>();
    for group in [tallow_run::checkpoint::MODEL, tallow_run::checkpoint::EMA, tallow_run::checkpoint::OPTIMIZER] {
        let _ = checkpoint.group(group);
    }
}

/// The body of a request to `/predict`: the first byte decides between a form and a picture.
fn http(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let kind = if first % 2 == 0 { "multipart/form-data; boundary=b" } else { "application/octet-stream" };
    let head = format!(
        "POST /predict?topk=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    use std::io::{Read as _, Write as _};
    let mut stream = TcpStream::connect(server()).expect("a connection");
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "an answer");
}

/// A server that runs until the process ends.
fn server() -> SocketAddr {
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    *SERVER.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            tallow_serve::serve(&Even, listener, &tallow_serve::Options::default(), std::future::pending())
        });
        address
    })
}

/// A classifier of two equal classes.
struct Even;

impl tallow_serve::Classify for Even {
    fn name(&self) -> String {
        "even".to_owned()
    }

    fn classes(&self) -> &[String] {
        static CLASSES: OnceLock<Vec<String>> = OnceLock::new();
        CLASSES.get_or_init(|| vec!["a".to_owned(), "b".to_owned()])
    }

    fn probabilities(&self, pictures: &[DynamicImage]) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(vec![0.5; 2 * pictures.len()])
    }
}

/// A folder with these files.
fn folder(files: &[(String, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
    }
    folder
}

/// Opens a dataset made of these files, and looks at its first samples.
fn open(spec: &str, files: &[(String, &[u8])], options: OpenOptions) {
    let folder = folder(files);
    let named = !spec.contains('.');
    let spec = if named { spec.to_owned() } else { folder.path().join(spec).display().to_string() };
    let options = OpenOptions { data_dir: named.then(|| folder.path().to_owned()), ..options };
    let Ok(Splits { train, validation, test, stream, .. }) = tallow_data::open(&spec, &options) else { return };
    for dataset in [Some(train), validation, test].into_iter().flatten() {
        look(&*dataset);
    }
    if let Some(stream) = stream {
        let stream = stream.with_config(StreamConfig { buffer: 2, initial: 1, ..StreamConfig::default() });
        stream.first(0, 4).for_each(|sample| drop(sample.and_then(|sample| sample.image())));
    }
}

fn look(dataset: &dyn Dataset) {
    for index in 0..dataset.len().min(4) {
        assert!(dataset.label(index) < dataset.class_names().len(), "a label is a class");
        let _ = (dataset.target(index), dataset.weight(index), dataset.group(index), dataset.time(index));
        let _ = (dataset.id(index), dataset.encoded(index), dataset.image(index));
    }
}
