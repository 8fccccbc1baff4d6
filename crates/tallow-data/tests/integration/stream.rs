//! Streamed training samples equal indexed ones, from files and from a server whose connections break.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tallow_augment::{Normalization, Pipeline, PipelineConfig};
use tallow_data::{
    Batch, FoldOptions, Format, Loader, LoaderConfig, OnCorrupt, OpenOptions, Result, Sampler, Splits, Subset,
    WriteOptions, open, write,
};
use tempfile::TempDir;

use crate::assert_fails;

const SAMPLES: usize = 100;

/// Six shards of training samples, two of test samples, and `_info.json`.
fn shards() -> TempDir {
    let dir = TempDir::new().unwrap();
    let bundled = open("fashion-mnist-6k", &OpenOptions::default()).unwrap();
    let first = |dataset, count| Arc::new(Subset::new(dataset, (0..count).collect()).unwrap());
    let splits = Splits {
        train: first(bundled.train.clone(), SAMPLES),
        test: Some(first(bundled.test.clone().unwrap(), 30)),
        ..bundled
    };
    let options = WriteOptions { samples_per_file: 18 };
    write(&splits, &dir.path().join("shards"), Format::Wds, &options).unwrap();
    dir
}

fn streamed() -> OpenOptions {
    OpenOptions { stream: true, ..OpenOptions::default() }
}

fn open_in(dir: &Path, spec: &str, options: &OpenOptions) -> Result<Splits> {
    open(dir.join(spec).to_str().unwrap(), options)
}

fn pipeline() -> Arc<Pipeline> {
    let ops = r#"[{"op": "RandomCrop", "size": [28, 28], "padding": 3}, {"op": "RandomHorizontalFlip"}]"#;
    let config: PipelineConfig = serde_json::from_str(ops).unwrap();
    let normalization = Normalization { mean: vec![0.3; 3], std: vec![0.4; 3] };
    Arc::new(config.build(3, &normalization).unwrap())
}

fn config() -> LoaderConfig {
    LoaderConfig { batch_size: 16, seed: 7, sampler: Sampler::Shards(25), ..LoaderConfig::default() }
}

fn loader(splits: &Splits, config: LoaderConfig) -> Loader {
    match &splits.stream {
        Some(stream) => Loader::streamed(stream.clone(), pipeline(), config).unwrap(),
        None => Loader::new(splits.train.clone(), pipeline(), config).unwrap(),
    }
}

fn batches(loader: &Loader, epoch: u64, skip: usize) -> Vec<Batch> {
    // Streamed samples have no index.
    let plain = |batch: Result<Batch>| Batch { indices: Vec::new(), stream_ids: Vec::new(), ..batch.unwrap() };
    loader.epoch(epoch, skip).map(plain).collect()
}

#[test]
fn a_stream_gives_what_the_index_gives() {
    let dir = shards();
    for spec in ["shards", "shards/train-{000000..000005}.tar"] {
        let indexed = open_in(dir.path(), spec, &OpenOptions::default()).unwrap();
        let stream = open_in(dir.path(), spec, &streamed()).unwrap();
        assert_eq!((stream.train.len(), stream.train_samples().unwrap()), (0, SAMPLES));
        assert_eq!(stream.train.class_names(), indexed.train.class_names());
        assert_eq!(stream.test.as_ref().map(|test| test.len()), indexed.test.as_ref().map(|test| test.len()));
        assert_eq!(stream.measure(OnCorrupt::Stop).unwrap(), indexed.measure(OnCorrupt::Stop).unwrap());
        for sampler in [Sampler::Shards(25), Sampler::Shards(1), Sampler::Sequential] {
            let config = LoaderConfig { sampler, ..config() };
            let expected = loader(&indexed, config.clone());
            for workers in [1, 3] {
                let found = loader(&stream, LoaderConfig { workers, ..config.clone() });
                assert_eq!(found.batches(), expected.batches());
                for epoch in [0, 1] {
                    let whole = batches(&found, epoch, 0);
                    assert!(whole == batches(&expected, epoch, 0), "{spec} {config:?} {workers} {epoch}");
                    // Skipped batches do not change the following ones.
                    assert!(batches(&found, epoch, 4) == whole[4..]);
                }
            }
            if config.sampler == Sampler::Shards(25) {
                assert!(batches(&expected, 0, 0) != batches(&expected, 1, 0));
            }
        }
        let (found, expected) = (loader(&stream, config()), loader(&indexed, config()));
        let ids = |loader: &Loader| -> Vec<String> {
            loader.epoch(0, 0).flat_map(|batch| loader.ids(&batch.unwrap())).map(|id| id.replace(".png", "")).collect()
        };
        assert_eq!(ids(&found), ids(&expected));
        assert_eq!(found.first_images(3).len(), 3);
        drop(found.epoch(0, 0));
    }
}

#[test]
fn an_epoch_of_another_length_takes_the_first_or_goes_round() {
    let dir = shards();
    let of = |samples| {
        let options = OpenOptions { samples_per_epoch: Some(samples), ..streamed() };
        let loader = loader(&open_in(dir.path(), "shards", &options).unwrap(), config());
        loader.epoch(0, 0).flat_map(|batch| loader.ids(&batch.unwrap())).collect::<Vec<_>>()
    };
    let (few, whole, many) = (of(30), of(SAMPLES), of(250));
    assert_eq!((few.len(), many.len()), (30, 250));
    assert_eq!(few, whole[..30]);
    assert_eq!(whole, many[..100]);
    let sorted = |ids: &[String]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    assert_eq!(sorted(&many[100..200]), sorted(&whole));
    assert_ne!(many[100..200], whole);
    assert_eq!(many, of(250));
}

#[test]
fn what_a_stream_cannot_do_is_refused() {
    let dir = shards();
    let refused = |options: OpenOptions, parts: &[&str]| {
        assert_fails(open_in(dir.path(), "shards", &options).map(|_| ()), parts);
    };
    refused(OpenOptions { validation_fraction: 0.1, ..streamed() }, &["validation_fraction", "stream"]);
    refused(OpenOptions { fold: Some(FoldOptions { count: 5, index: 0 }), ..streamed() }, &["fold", "stream"]);
    refused(OpenOptions { group_column: Some("patient".into()), ..streamed() }, &["group_column"]);
    refused(OpenOptions { time_column: Some("taken".into()), ..streamed() }, &["time_column"]);
    refused(OpenOptions { cache: Some("cache".into()), ..streamed() }, &["cache", "stream"]);
    refused(OpenOptions { samples_per_epoch: Some(0), ..streamed() }, &["at least 1"]);
    refused(OpenOptions { samples_per_epoch: Some(9), ..OpenOptions::default() }, &["samples_per_epoch", "stream"]);
    assert_fails(open("fashion-mnist-6k", &streamed()).map(|_| ()), &["stream", "tar shards"]);

    let stream = open_in(dir.path(), "shards", &streamed()).unwrap().stream.unwrap();
    for sampler in [Sampler::ClassBalanced, Sampler::Shuffled, Sampler::Shards(0)] {
        let loader = Loader::streamed(stream.clone(), pipeline(), LoaderConfig { sampler, ..config() });
        assert_fails(loader.map(|_| ()), &["sampler"]);
    }

    // Without `_info.json`, neither classes nor length are known.
    let info = dir.path().join("shards/_info.json");
    let text = std::fs::read_to_string(&info).unwrap();
    std::fs::remove_file(&info).unwrap();
    refused(streamed(), &["train-000000.tar", "classnames.txt", "_info.json"]);
    std::fs::write(dir.path().join("shards/classnames.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
    refused(streamed(), &["samples_per_epoch", "6 training shards"]);
    let options = OpenOptions { samples_per_epoch: Some(40), ..streamed() };
    assert_eq!(open_in(dir.path(), "shards", &options).unwrap().train.class_names()[9], "j");
    // `_info.json` may also be in `data_dir`.
    std::fs::remove_file(dir.path().join("shards/classnames.txt")).unwrap();
    std::fs::create_dir(dir.path().join("mine")).unwrap();
    std::fs::write(dir.path().join("mine/_info.json"), text).unwrap();
    let options = OpenOptions { data_dir: Some(dir.path().join("mine")), ..streamed() };
    assert_eq!(open_in(dir.path(), "shards", &options).unwrap().train_samples().unwrap(), SAMPLES);
}

#[test]
fn damage_in_a_stream_is_told_and_skipped_as_in_an_index() {
    let dir = shards();
    let shard = dir.path().join("shards/train-000002.tar");
    let whole = std::fs::read(&shard).unwrap();
    // Behind a header of 512 bytes lies an image.
    let mut bytes = whole.clone();
    bytes[512..540].fill(0);
    std::fs::write(&shard, &bytes).unwrap();
    let all = |options: &OpenOptions, on_corrupt, drop_last| -> Result<Vec<Batch>> {
        let splits = open_in(dir.path(), "shards", options)?;
        let loader = loader(&splits, LoaderConfig { on_corrupt, drop_last, ..config() });
        loader
            .epoch(0, 0)
            .map(|batch| {
                let skipped = |id: &String| id.replace(".png", "");
                let batch = batch?;
                let skipped = batch.skipped.iter().map(skipped).collect();
                Ok(Batch { indices: Vec::new(), stream_ids: Vec::new(), skipped, ..batch })
            })
            .collect()
    };
    for drop_last in [false, true] {
        let found = all(&streamed(), OnCorrupt::Skip, drop_last).unwrap();
        assert!(found == all(&OpenOptions::default(), OnCorrupt::Skip, drop_last).unwrap());
        assert_eq!(found.iter().map(|batch| batch.skipped.len()).sum::<usize>(), 1);
    }
    assert_fails(all(&streamed(), OnCorrupt::Stop, false), &["train-000002.tar", "decoded"]);

    // Half an archive, and one with another number of samples, end the epoch, and not in silence; before the first
    // batch of a resumed epoch too.
    std::fs::write(&shard, &whole[..whole.len() / 2]).unwrap();
    assert_fails(all(&streamed(), OnCorrupt::Skip, false), &["train-000002.tar"]);
    let loader = loader(&open_in(dir.path(), "shards", &streamed()).unwrap(), config());
    assert_fails(loader.epoch(0, 6).collect::<Result<Vec<_>>>(), &["train-000002.tar"]);
    std::fs::write(&shard, std::fs::read(dir.path().join("shards/train-000005.tar")).unwrap()).unwrap();
    assert_fails(all(&streamed(), OnCorrupt::Stop, false), &["train-000002.tar", "18 samples", "found 10"]);
}

/// A file server with simulated failures.
#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    /// The numbers of bytes after which the next responses break off.
    cuts: Vec<usize>,
    /// Whether range requests are not supported.
    without_ranges: bool,
    /// The number of coming responses with status 503.
    busy: usize,
    /// Whether ranges are sent of another file than the one that `If-Range` names.
    without_if_range: bool,
    /// A status line and headers that answer every request for a shard.
    instead: Option<&'static str>,
    /// A file that replaces the one at its path from the second response on.
    later: Option<(String, Vec<u8>)>,
    /// `PATH RANGE` of each request.
    log: Vec<String>,
}

fn serve(state: State) -> (String, Arc<Mutex<State>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::new(Mutex::new(state));
    let shared = state.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, &shared);
        }
    });
    (address, state)
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let headers: Vec<String> = lines.map_while(|line| line.ok().filter(|line| !line.is_empty())).collect();
    let header = |name: &str| {
        let mut found = headers.iter().filter_map(|line| line.split_once(": "));
        found.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let mut state = state.lock().unwrap();
    let range = header("range").unwrap_or_default();
    state.log.push(format!("{path} {range}"));
    let mut reply = |status: &str, headers: &str, body: &[u8], sent: usize| {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body[..sent.min(length)])
    };
    if state.busy > 0 {
        state.busy -= 1;
        return reply("503 Service Unavailable", "", b"", 0);
    }
    if let Some(status) = state.instead.filter(|_| path.ends_with(".tar")) {
        return reply(status, "", b"", 0);
    }
    let Some(body) = state.files.get(&path).cloned() else {
        return reply("404 Not Found", "", b"", 0);
    };
    let etag = format!("\"{}\"", body.iter().map(|byte| u64::from(*byte)).sum::<u64>());
    let start =
        range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')).and_then(|n| n.parse::<usize>().ok());
    let start = start.filter(|_| {
        !state.without_ranges && (state.without_if_range || header("if-range").is_none_or(|wanted| wanted == etag))
    });
    if let Some((_, later)) = state.later.take_if(|(later, _)| *later == path) {
        state.files.insert(path.clone(), later);
    }
    let cut = if path.ends_with(".tar") { state.cuts.pop() } else { None };
    let sent = cut.unwrap_or(usize::MAX);
    let named = format!("ETag: {etag}\r\n");
    match start {
        Some(start) => {
            let range = format!("{named}Content-Range: bytes {start}-{}/{}\r\n", body.len() - 1, body.len());
            reply("206 Partial Content", &range, &body[start..], sent)
        }
        None => reply("200 OK", &named, &body, sent),
    }
}

/// Every file of the shards' folder below `/data`.
fn files(dir: &Path) -> HashMap<String, Vec<u8>> {
    let files = std::fs::read_dir(dir.join("shards")).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (format!("/data/{}", file.file_name().display()), std::fs::read(file.path()).unwrap())).collect()
}

#[test]
fn shards_at_an_address_survive_cut_connections() {
    let dir = shards();
    let local = loader(&open_in(dir.path(), "shards", &streamed()).unwrap(), config());
    let expected = batches(&local, 0, 0);
    for without_ranges in [false, true] {
        let cuts = vec![20_000, 3000, 1, 700, 0];
        let (address, state) = serve(State { files: files(dir.path()), without_ranges, ..State::default() });
        let test = dir.path().join("shards/test-{000000..000001}.tar");
        let spec = format!("{address}/data/train-{{000000..000005}}.tar?key=1::{}", test.display());
        let splits = open(&spec, &streamed()).unwrap();
        assert_eq!(splits.test.as_ref().unwrap().len(), 30);
        let loader = loader(&splits, config());
        {
            let mut state = state.lock().unwrap();
            (state.cuts, state.busy) = (cuts, 2);
            state.log.clear();
        }
        assert!(batches(&loader, 0, 0) == expected);
        let log = std::mem::take(&mut state.lock().unwrap().log);
        // Six shards, two refusals, five connections that broke.
        assert_eq!(log.len(), 13, "{log:#?}");
        assert_eq!(log.iter().filter(|line| line.contains("bytes=")).count(), 5, "{log:#?}");
        // It goes on from where it has come to; without ranges the one byte was read before.
        let last = if without_ranges { "bytes=3000-" } else { "bytes=3701-" };
        assert!(log.iter().any(|line| line.ends_with(last)), "{log:#?}");
    }
}

#[test]
fn what_a_server_does_wrong_is_named() {
    let dir = shards();
    let fails = |state: State, spec: &str, parts: &[&str]| {
        let (address, _) = serve(state);
        let splits = open(&format!("{address}{spec}"), &streamed());
        let result = splits.and_then(|splits| loader(&splits, config()).epoch(0, 0).collect::<Result<Vec<_>>>());
        assert!(!result.as_ref().is_err_and(|error| error.to_string().contains("secret")));
        assert_fails(result, parts);
    };
    let all = || State { files: files(dir.path()), ..State::default() };
    let spec = "/data/train-{000000..000005}.tar";
    let mut without = all();
    without.files.remove("/data/train-000003.tar");
    fails(without, spec, &["http://127.0.0.1", "/data/train-000003.tar", "404"]);
    let mut without = all();
    without.files.remove("/data/_info.json");
    fails(without, spec, &["train-000000.tar", "classnames.txt", "data_dir"]);
    fails(State { cuts: vec![0; 1000], ..all() }, spec, &["cannot read http://127.0.0.1"]);
    fails(all(), "/data/{train-000000,test-000000}.tar", &["test-000000.tar", "training shards alone"]);

    for (status, words) in [
        ("204 No Content", "status 204"),
        ("302 Found", "location header"),
        ("302 Found\r\nLocation: /data/train-000000.tar", "redirects"),
        ("304 Not Modified", "status 304"),
        ("401 Unauthorized", "status 401"),
        ("429 Too Many Requests\r\nRetry-After: 3600", "status 429"),
    ] {
        fails(State { instead: Some(status), ..all() }, &format!("{spec}?signature=secret"), &["/data/train-0", words]);
    }

    let (address, _) = serve(all());
    let indexed = open(&format!("{address}{spec}"), &OpenOptions::default());
    assert_fails(indexed.map(|_| ()), &["train-000000.tar", "stream = true"]);
    assert_fails(open("http://127.0.0.1:1/x-{0..3}.tar", &streamed()).map(|_| ()), &["cannot read http://127.0.0.1:1"]);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    for without_if_range in [false, true] {
        changing_file(without_if_range);
    }
}

fn changing_file(without_if_range: bool) {
    let dir = shards();
    let (address, state) = serve(State { files: files(dir.path()), without_if_range, ..State::default() });
    let splits = open(&format!("{address}/data/train-000000.tar"), &streamed()).unwrap();
    let loader = loader(&splits, config());
    {
        let mut state = state.lock().unwrap();
        // The first answer is of the old file, and breaks off; then another one lies there.
        let path = |shard: u32| format!("/data/train-{shard:06}.tar");
        let other = state.files[&path(1)].clone();
        (state.cuts, state.later) = (vec![700], Some((path(0), other)));
    }
    assert_fails(loader.epoch(0, 0).collect::<Result<Vec<_>>>(), &["train-000000.tar", "changed while it was read"]);
}
