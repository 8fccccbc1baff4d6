//! Downloads from a local stand-in of the Hub.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use tallow_hub::{Hub, ModelFiles};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The behaviour of the stand-in, and the requests that it received.
#[derive(Default)]
struct State {
    /// Large files, by `OWNER/REPO/resolve/REVISION/FILE`.
    files: HashMap<String, Vec<u8>>,
    /// The number of coming downloads that break off in the middle.
    cuts: usize,
    /// Whether the sent content differs from the announced one.
    corrupt: bool,
    /// The required token.
    token: Option<&'static str>,
    /// `PATH RANGE` of each request.
    log: Vec<String>,
}

fn stand_in(state: State) -> (String, Arc<Mutex<State>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::new(Mutex::new(state));
    let (shared, own) = (state.clone(), endpoint.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, &shared, &own);
        }
    });
    (endpoint, state)
}

fn answer(mut stream: TcpStream, state: &Mutex<State>, endpoint: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let headers: HashMap<String, String> = lines
        .map_while(|line| line.ok().filter(|line| !line.is_empty()))
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let mut state = state.lock().unwrap();
    let range = headers.get("range").cloned().unwrap_or_default();
    state.log.push(format!("{path} {range}"));
    let mut reply = |status: &str, headers: &str, body: &[u8]| -> std::io::Result<()> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)
    };
    let token = state.token.map(|token| format!("Bearer {token}"));
    if token.is_some() && headers.get("authorization") != token.as_ref() {
        return reply("401 Unauthorized", "X-Error-Code: RepoNotFound\r\n", b"");
    }
    let (content, key) = match path.strip_prefix("cdn/") {
        Some(key) => (true, key.to_owned()),
        None => (false, path.replace(&format!("/{COMMIT}/"), "/main/")),
    };
    if let Some((id, revision)) = path.strip_prefix("api/datasets/").and_then(|rest| rest.split_once("/revision/")) {
        let folder = format!("datasets/{id}/resolve/{revision}/");
        let mut names: Vec<&str> = state.files.keys().filter_map(|name| name.strip_prefix(&folder)).collect();
        names.sort();
        if names.is_empty() {
            return reply("404 Not Found", "", b"");
        }
        let siblings: Vec<_> = names.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let info = serde_json::json!({ "sha": COMMIT, "siblings": siblings });
        return reply("200 OK", "", info.to_string().as_bytes());
    }
    let Some(body) = state.files.get(&key).cloned() else {
        return reply("404 Not Found", "X-Error-Code: EntryNotFound\r\n", b"Entry not found");
    };
    let large = ["safetensors", "bin", "parquet", "tar"].iter().any(|extension| key.ends_with(extension));
    let hash: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = if large { &hash[..] } else { &hash[..40] };
    let size = body.len();
    let named = format!("X-Repo-Commit: {COMMIT}\r\n");
    if large && !content {
        let linked =
            format!("X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {size}\r\nLocation: {endpoint}/cdn/{key}\r\n");
        return reply("302 Found", &format!("{named}{linked}"), b"");
    }
    let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
    let start: usize = start.parse().unwrap_or(0);
    let end = end.parse::<usize>().map_or(size, |last| last + 1).min(size);
    if start >= size {
        return reply("416 Range Not Satisfiable", "", b"");
    }
    let mut part = body[start..end].to_vec();
    let range = format!("{named}ETag: \"{etag}\"\r\nContent-Range: bytes {start}-{}/{size}\r\n", end - 1);
    if large && part.len() > 1 {
        if state.corrupt {
            part[0] ^= 1;
        }
        if state.cuts > 0 {
            state.cuts -= 1;
            let head = format!("HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n{range}\r\n", part.len());
            stream.write_all(head.as_bytes())?;
            return stream.write_all(&part[..part.len() / 2]);
        }
    }
    reply("206 Partial Content", &range, &part)
}

fn files(names: &[&str]) -> HashMap<String, Vec<u8>> {
    let content = |name: &str| match name {
        "config.json" => b"{}".to_vec(),
        _ => (0..100_000u32).map(|i| (i * 31 % 251) as u8).collect(),
    };
    names.iter().map(|name| (format!("timm/tiny/resolve/main/{name}"), content(name))).collect()
}

fn hub(endpoint: &str, cache: &Path) -> Hub {
    let cache = cache.join("hub");
    Hub { endpoint: endpoint.to_owned(), cache, token: None, offline: false, progress: false, retries: 0 }
}

fn message(result: tallow_hub::Result<ModelFiles>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn files_are_fetched_once_and_lie_as_pythons_tools_lay_them() {
    let names = ["model.safetensors", "config.json", "pytorch_model.bin"];
    let (endpoint, state) = stand_in(State { files: files(&names), ..State::default() });
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(&endpoint, folder.path());
    let fetched = hub.model("timm/tiny").unwrap();
    let repository = folder.path().join("hub/models--timm--tiny");
    assert_eq!(fetched.weights, repository.join("snapshots").join(COMMIT).join("model.safetensors"));
    assert_eq!(std::fs::read(&fetched.weights).unwrap(), files(&names)["timm/tiny/resolve/main/model.safetensors"]);
    assert_eq!(std::fs::read(fetched.config.as_ref().unwrap()).unwrap(), b"{}");
    assert_eq!(std::fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    let content = |state: &Mutex<State>| {
        let log = &state.lock().unwrap().log;
        log.iter().filter(|line| line.starts_with("cdn/") && line.ends_with("bytes=0-")).count()
    };
    assert_eq!(content(&state), 1);
    assert_eq!(hub.model("timm/tiny@main").unwrap(), fetched, "what is there is not fetched again");
    assert_eq!(content(&state), 1);
    let offline = Hub { offline: true, endpoint: "http://127.0.0.1:1".into(), ..hub };
    assert_eq!(offline.model("timm/tiny").unwrap(), fetched);
    assert_eq!(offline.model(&format!("timm/tiny@{COMMIT}")).unwrap(), fetched);
    let text = message(offline.model("timm/other"));
    assert!(text.contains("hf:timm/other: HF_HUB_OFFLINE is set"), "{text}");
}

#[test]
fn pytorchs_file_is_taken_where_there_is_no_other() {
    let (endpoint, _) = stand_in(State { files: files(&["pytorch_model.bin"]), ..State::default() });
    let folder = tempfile::tempdir().unwrap();
    let fetched = hub(&endpoint, folder.path()).model("timm/tiny").unwrap();
    assert!(fetched.weights.ends_with("pytorch_model.bin") && fetched.config.is_none(), "{fetched:?}");
}

#[test]
fn an_index_brings_its_shards_and_the_preprocessor_comes_with_the_config() {
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut files = files(&[shards[0], shards[1], "config.json", "preprocessor_config.json"]);
    let index =
        |second: &str| format!(r#"{{ "weight_map": {{ "a": "{}", "b": "{second}", "c": "{second}" }} }}"#, shards[0]);
    let key = "timm/tiny/resolve/main/model.safetensors.index.json".to_owned();
    files.insert(key.clone(), index(shards[1]).into());
    let (endpoint, state) = stand_in(State { files, ..State::default() });
    let folder = tempfile::tempdir().unwrap();
    let online = hub(&endpoint, folder.path());
    let fetched = online.model("timm/tiny").unwrap();
    assert!(fetched.weights.ends_with("model.safetensors.index.json"), "{fetched:?}");
    for beside in [shards[0], shards[1], "preprocessor_config.json"] {
        assert!(fetched.weights.with_file_name(beside).is_file(), "{beside}");
    }
    let offline = Hub { offline: true, ..online };
    assert_eq!(offline.model("timm/tiny").unwrap(), fetched);
    std::fs::remove_file(fetched.weights.with_file_name(shards[1])).unwrap();
    assert!(message(offline.model("timm/tiny")).contains("not in the cache"));

    for (second, part) in [("../../secret", "names of files beside it"), ("absent.safetensors", "there is no absent")] {
        state.lock().unwrap().files.insert(key.clone(), index(second).into());
        let folder = tempfile::tempdir().unwrap();
        let text = message(hub(&endpoint, folder.path()).model("timm/tiny"));
        assert!(text.contains(part), "{second}: {text}");
    }
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let (endpoint, state) = stand_in(State { files: files(&["model.safetensors"]), cuts: 1, ..State::default() });
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(&endpoint, folder.path());
    let text = message(hub.model("timm/tiny"));
    assert!(text.contains("model.safetensors") && text.contains("run again"), "{text}");
    let fetched = hub.model("timm/tiny").unwrap();
    assert_eq!(std::fs::read(fetched.weights).unwrap().len(), 100_000);
    let log = state.lock().unwrap().log.clone();
    assert!(log.iter().any(|line| line.ends_with("bytes=50000-")), "{log:?}");
    // Resumed within the same call.
    state.lock().unwrap().cuts = 1;
    let folder = tempfile::tempdir().unwrap();
    let patient = Hub { retries: 2, cache: folder.path().join("hub"), ..hub };
    assert_eq!(std::fs::read(patient.model("timm/tiny").unwrap().weights).unwrap().len(), 100_000);
}

#[test]
fn other_content_than_announced_is_refused_and_deleted() {
    let (endpoint, state) = stand_in(State { files: files(&["model.safetensors"]), corrupt: true, ..State::default() });
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(&endpoint, folder.path());
    let text = message(hub.model("timm/tiny"));
    assert!(text.contains("SHA-256") && text.contains("deleted"), "{text}");
    let offline = Hub { offline: true, ..hub.clone() };
    assert!(offline.model("timm/tiny").is_err(), "nothing wrong is left in the cache");
    state.lock().unwrap().corrupt = false;
    hub.model("timm/tiny").unwrap();
}

#[test]
fn refusals_say_what_to_do() {
    let (endpoint, _) =
        stand_in(State { files: files(&["model.safetensors"]), token: Some("secret"), ..State::default() });
    let folder = tempfile::tempdir().unwrap();
    let closed = hub(&endpoint, folder.path());
    let text = message(closed.model("timm/tiny"));
    assert!(text.contains("401") && text.contains("HF_TOKEN"), "{text}");
    let opened = Hub { token: Some("secret".into()), ..closed.clone() };
    opened.model("timm/tiny").unwrap();
    let text = message(opened.model("timm/none@v2"));
    assert!(text.contains("404") && text.contains("pytorch_model.bin at revision v2"), "{text}");
    for name in ["", "a/b/c", "../x", "a/b@../../c", "a b/c"] {
        let text = message(opened.model(name));
        assert!(text.contains("expected OWNER/REPO"), "{text}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = message(hub(&format!("http://{gone}"), folder.path()).model("timm/tiny2"));
    assert!(text.contains("HF_HUB_OFFLINE=1") && text.contains(&gone.to_string()), "{text}");
    let text = message(hub("huggingface.co", folder.path()).model("timm/tiny"));
    assert!(text.contains("HF_ENDPOINT"), "{text}");
}

#[test]
fn the_files_of_a_dataset_are_fetched_once() {
    let names = ["README.md", "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"];
    let content = |name: &str| (format!("datasets/me/pets/resolve/main/{name}"), name.repeat(100).into_bytes());
    let files: HashMap<_, _> = names.iter().map(|name| content(name)).collect();
    let (endpoint, state) = stand_in(State { files, ..State::default() });
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(&endpoint, folder.path());
    let fetched = hub.dataset("me/pets").unwrap();
    let snapshot = folder.path().join("hub/datasets--me--pets/snapshots").join(COMMIT);
    assert_eq!(fetched.folder, snapshot);
    assert_eq!(fetched.files, [snapshot.join(names[2]), snapshot.join(names[1])]);
    assert_eq!(std::fs::read(&fetched.files[1]).unwrap(), names[1].repeat(100).into_bytes());
    let asked = |state: &Mutex<State>| state.lock().unwrap().log.iter().filter(|line| line.starts_with("cdn/")).count();
    let before = asked(&state);
    assert_eq!(hub.dataset("me/pets@main").unwrap(), fetched);
    assert!(asked(&state) <= before + 2, "no content is fetched again");
    let offline = Hub { offline: true, endpoint: "http://127.0.0.1:1".into(), ..hub.clone() };
    assert_eq!(offline.dataset("me/pets").unwrap(), fetched);
    let message = |result: tallow_hub::Result<tallow_hub::DatasetFiles>| result.unwrap_err().to_string();
    let text = message(offline.dataset("me/other"));
    assert!(text.contains("HF_HUB_OFFLINE"), "{text}");
    let text = message(hub.dataset("me/pets:small"));
    assert!(text.contains("no configuration small, but data"), "{text}");
    let text = message(hub.dataset("me/none"));
    assert!(text.contains("hf:me/none: 404"), "{text}");
    for name in ["", "a/b/c", "../x", "a/b:../c", "a/b@"] {
        let text = message(hub.dataset(name));
        assert!(text.contains("expected OWNER/NAME"), "{text}");
    }
}
