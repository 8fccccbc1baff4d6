//! A dataset on the Hub, end to end: the recorded Parquet files in the layout of the Hub's cache, opened offline.
//!
//! The download is tested in tallow-hub, against a local stand-in of the Hub.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::others;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Runs in a separate process whose environment sets the cache folder.
#[test]
#[ignore = "run by `a_dataset_of_the_hub_s_cache`, which sets its environment"]
fn open_from_the_cache() {
    for spec in ["hf:me/pets", "hfds/me/pets", "hf:me/pets:data@main"] {
        let splits = tallow_data::open(spec, &tallow_data::OpenOptions::default()).unwrap();
        assert_eq!((splits.train.len(), splits.test.unwrap().len()), (26, 7), "{spec}");
        assert!(splits.train.image(25).is_ok());
    }
    let other = tallow_data::open("hf:me/other", &tallow_data::OpenOptions::default());
    crate::assert_fails(other.map(|_| ()), &["hf:me/other", "HF_HUB_OFFLINE"]);
}

#[test]
fn a_dataset_of_the_hub_s_cache() {
    let dir = TempDir::new().unwrap();
    let repository = dir.path().join("datasets--me--pets");
    let data = repository.join("snapshots").join(COMMIT).join("data");
    fs::create_dir_all(&data).unwrap();
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), COMMIT).unwrap();
    for entry in fs::read_dir(others("hub/data")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, data.join(path.file_name().unwrap())).unwrap();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "hub::open_from_the_cache"])
        .envs([("HF_HUB_CACHE", dir.path().as_os_str()), ("HF_HUB_OFFLINE", "1".as_ref())])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
