//! Redirects between two hosts, the access token, and the statuses that a server may answer with.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tallow_hub::Hub;
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CONTENT: &[u8] = b"the weights";

/// A request: its path, and its headers by their names in lower case.
struct Asked {
    path: String,
    headers: HashMap<String, String>,
}

impl Asked {
    fn token(&self) -> Option<&str> {
        self.headers.get("authorization").map(String::as_str)
    }
}

type Log = Arc<Mutex<Vec<Asked>>>;

/// A server on `host` that answers each request with the status line, headers and body that `answer` makes of it.
/// Returns its address and the requests that it receives.
fn server(host: &str, answer: impl Fn(&Asked) -> (String, Vec<u8>) + Send + 'static) -> (String, Log) {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let address = format!("http://{host}:{}", listener.local_addr().unwrap().port());
    let log = Log::default();
    let kept = log.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let path = lines.next().and_then(|line| line.split(' ').nth(1).map(String::from)).unwrap_or_default();
            let headers = lines
                .take_while(|line| !line.is_empty())
                .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
                .collect();
            let asked = Asked { path, headers };
            let (head, body) = answer(&asked);
            let length = body.len();
            let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            kept.lock().unwrap().push(asked);
        }
    });
    (address, log)
}

/// The reply of storage that knows parts of files.
fn stored(asked: &Asked) -> (String, Vec<u8>) {
    let range = asked.headers.get("range").cloned().unwrap_or_default();
    let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
    let start: usize = start.parse().unwrap();
    let end = end.parse::<usize>().map_or(CONTENT.len(), |last| last + 1);
    let head =
        format!("206 Partial Content\r\nETag: \"abc\"\r\nContent-Range: bytes {start}-{}/{}", end - 1, CONTENT.len());
    (head, CONTENT[start..end].to_vec())
}

/// The headers with which the Hub describes a file that lies elsewhere.
fn linked() -> String {
    format!("X-Repo-Commit: {COMMIT}\r\nX-Linked-ETag: W/\"abc\"\r\nX-Linked-Size: {}", CONTENT.len())
}

fn missing() -> (String, Vec<u8>) {
    ("404 Not Found".into(), Vec::new())
}

fn hub(endpoint: &str, cache: &Path) -> Hub {
    let (endpoint, cache, token) = (endpoint.to_owned(), cache.join("hub"), Some("hf_secret".into()));
    Hub { endpoint, cache, token, offline: false, progress: false, retries: 0 }
}

fn model_error(endpoint: &str) -> String {
    let folder = TempDir::new().unwrap();
    hub(endpoint, folder.path()).model("me/tiny").unwrap_err().to_string()
}

#[test]
fn the_token_reaches_the_endpoint_alone() {
    for (other, describes) in [("127.0.0.2", true), ("127.0.0.2", false), ("localhost", true), ("127.0.0.1", false)] {
        let (storage, stored_log) = server(other, stored);
        let target = storage.clone();
        // A renamed repository, then storage on another host or port, with or without a description of the file.
        let (endpoint, hub_log) = server("127.0.0.1", move |asked| match asked.path.as_str() {
            path if path.starts_with("/me/tiny/") && path.ends_with("/model.safetensors") => {
                (format!("307 Temporary Redirect\r\nLocation: {}", path.replace("tiny", "renamed")), Vec::new())
            }
            path if path.ends_with("/model.safetensors") => {
                let headers = if describes { linked() } else { format!("X-Repo-Commit: {COMMIT}") };
                (format!("302 Found\r\n{headers}\r\nLocation: {target}/x?signature=1"), Vec::new())
            }
            _ => missing(),
        });
        let folder = TempDir::new().unwrap();
        let files = hub(&endpoint, folder.path()).model("me/tiny").unwrap();
        assert_eq!(std::fs::read(files.weights).unwrap(), CONTENT);
        let (asked, of_storage) = (hub_log.lock().unwrap(), stored_log.lock().unwrap());
        assert!(asked.iter().any(|asked| asked.path.contains("renamed")) && !of_storage.is_empty());
        assert!(asked.iter().all(|asked| asked.token() == Some("Bearer hf_secret")), "{endpoint}");
        assert!(of_storage.iter().all(|asked| asked.token().is_none()), "{storage} saw the token of {endpoint}");
    }
}

#[test]
fn lists_of_files_follow_redirects_without_the_token() {
    let list = format!(r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "data/my train.parquet"}}]}}"#);
    let (mirror, mirror_log) = server("127.0.0.2", move |asked| match asked.path.starts_with("/api/") {
        true => ("200 OK".into(), list.clone().into_bytes()),
        false => {
            let (head, body) = stored(asked);
            (format!("{head}\r\nX-Repo-Commit: {COMMIT}"), body)
        }
    });
    let (endpoint, _) =
        server("127.0.0.1", move |asked| (format!("302 Found\r\nLocation: {mirror}{}", asked.path), Vec::new()));
    let folder = TempDir::new().unwrap();
    let files = hub(&endpoint, folder.path()).dataset("me/pets").unwrap();
    assert_eq!(std::fs::read(&files.files[0]).unwrap(), CONTENT);
    assert!(files.files[0].ends_with("data/my train.parquet"), "{files:?}");
    let log = mirror_log.lock().unwrap();
    assert!(log.iter().any(|asked| asked.path.ends_with("/data/my%20train.parquet")));
    assert!(log.iter().all(|asked| asked.token().is_none()));
}

#[test]
fn a_redirect_loop_ends() {
    let (endpoint, log) = server("127.0.0.1", |asked| (format!("302 Found\r\nLocation: {}", asked.path), Vec::new()));
    let text = model_error(&endpoint);
    assert!(text.contains("more than 10 redirects"), "{text}");
    assert_eq!(log.lock().unwrap().len(), 11);

    let back = Arc::new(Mutex::new(String::new()));
    let to = back.clone();
    let redirect =
        move |asked: &Asked| format!("308 Permanent Redirect\r\nLocation: {}{}", to.lock().unwrap(), asked.path);
    let (other, other_log) = server("127.0.0.2", move |asked| (redirect(asked), Vec::new()));
    let (endpoint, _) =
        server("127.0.0.1", move |asked| (format!("301 Moved\r\nLocation: {other}{}", asked.path), Vec::new()));
    back.lock().unwrap().clone_from(&endpoint);
    let text = model_error(&endpoint);
    assert!(text.contains("more than 10 redirects"), "{text}");
    assert!(other_log.lock().unwrap().iter().all(|asked| asked.token().is_none()));
}

#[test]
fn every_status_is_understood() {
    let cases: &[(&str, &[&str])] = &[
        ("302 Found", &["redirects without an address", "HF_ENDPOINT"]),
        ("301 Moved\r\nLocation: ftp://x/y", &["no http address"]),
        ("204 No Content", &["status 204", "HF_ENDPOINT"]),
        ("300 Multiple Choices", &["status 300"]),
        ("304 Not Modified", &["status 304", "HF_ENDPOINT"]),
        ("305 Use Proxy\r\nLocation: http://127.0.0.1:1/", &["status 305"]),
        ("401 Unauthorized\r\nX-Error-Message: Invalid credentials", &["401", "says: Invalid credentials", "HF_TOKEN"]),
        ("403 Forbidden", &["403", "the token has no access"]),
        ("404 Not Found", &["404: there is no model.safetensors or pytorch_model.bin"]),
        ("407 Proxy Authentication Required", &["status 407", "proxy"]),
        ("410 Gone", &["status 410"]),
        ("416 Range Not Satisfiable", &["status 416"]),
        ("429 Too Many Requests\r\nRetry-After: 70", &["429", "again in 70 s"]),
        ("500 Internal Server Error", &["status 500", "the fault is the server's", "HF_HUB_OFFLINE=1"]),
        ("503 Service Unavailable\r\nX-Error-Message: moving", &["status 503 (moving)", "HF_HUB_OFFLINE=1"]),
        ("200 OK", &["expected the header X-Repo-Commit, found none", "HF_ENDPOINT"]),
        ("200 OK\r\nX-Repo-Commit: ../..\r\nETag: \"a\"", &["the commit \"../..\""]),
        ("200 OK\r\nX-Repo-Commit: 0a\r\nETag: \"../a\"", &["the server's ETag \"../a\""]),
    ];
    for (head, words) in cases {
        let (endpoint, _) = server("127.0.0.1", move |_| (head.to_string(), Vec::new()));
        let text = model_error(&endpoint);
        for word in *words {
            assert!(text.contains(word), "{head:?}: {text}");
        }
        assert!(text.starts_with("hf:me/tiny: ") && !text.contains("secret"), "{head:?}: {text}");
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let left = Mutex::new(2);
    let (endpoint, log) = server("127.0.0.1", move |asked| {
        let mut left = left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return ("429 Too Many Requests\r\nRetry-After: 0".into(), Vec::new());
        }
        match asked.path.ends_with("/model.safetensors") {
            true => {
                let (head, body) = stored(asked);
                (format!("{head}\r\nX-Repo-Commit: {COMMIT}"), body)
            }
            false => missing(),
        }
    });
    let folder = TempDir::new().unwrap();
    let patient = Hub { retries: 2, ..hub(&endpoint, folder.path()) };
    assert_eq!(std::fs::read(patient.model("me/tiny").unwrap().weights).unwrap(), CONTENT);
    assert!(log.lock().unwrap().len() >= 4);
}

#[test]
fn a_download_starts_anew_where_the_server_sends_no_parts() {
    let (endpoint, _) = server("127.0.0.1", |asked| match asked.path.ends_with("/model.safetensors") {
        true => (format!("200 OK\r\nX-Repo-Commit: {COMMIT}\r\nETag: \"abc\""), CONTENT.to_vec()),
        false => missing(),
    });
    let folder = TempDir::new().unwrap();
    let blobs = folder.path().join("hub/models--me--tiny/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join("abc.incomplete"), b"the w").unwrap();
    let files = hub(&endpoint, folder.path()).model("me/tiny").unwrap();
    assert_eq!(std::fs::read(files.weights).unwrap(), CONTENT);
}

#[test]
fn other_parts_and_longer_files_than_asked_for_are_refused() {
    let cases = [
        ("206 Partial Content\r\nContent-Range: bytes 3-11/11", "expected the bytes from 0 on, found the range"),
        ("200 OK", "12 or more bytes arrived, 11 were announced; the file was deleted"),
        ("302 Found\r\nLocation: /me/loop", "more than 10 redirects"),
        ("304 Not Modified", "status 304"),
    ];
    for (content, words) in cases {
        let (endpoint, _) = server("127.0.0.1", move |asked| {
            match asked.headers.get("range").is_some_and(|range| range == "bytes=0-0") {
                true => (format!("302 Found\r\n{}", linked()), Vec::new()),
                false => (content.into(), [CONTENT, CONTENT].concat()),
            }
        });
        let folder = TempDir::new().unwrap();
        let text = hub(&endpoint, folder.path()).model("me/tiny").unwrap_err().to_string();
        assert!(text.contains("model.safetensors") && text.contains(words), "{content}: {text}");
        assert!(!folder.path().join("hub/models--me--tiny/snapshots").exists());
    }
}

#[test]
fn a_token_is_neither_printed_nor_sent_broken() {
    let folder = TempDir::new().unwrap();
    let hub = hub("http://127.0.0.1:1", folder.path());
    assert!(!format!("{hub:?}").contains("hf_secret"), "{hub:?}");
    let broken = Hub { token: Some("hf_sec\nret".into()), ..hub };
    let text = broken.model("me/tiny").unwrap_err().to_string();
    assert!(text.contains("HF_TOKEN") && !text.contains("hf_sec"), "{text}");
}
