//! Finds the files of a repository in the cache, or downloads and checks them.
//!
//! `hf-hub` implements the protocol and resumes broken downloads. This module adds what it leaves to its caller: all
//! files of a repository are of one commit, and their size and SHA-256 are verified.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, Metadata};
use hf_hub::{Cache, Repo, RepoType};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use tallow_base::write_atomically;

use crate::configuration::files_of_configuration;
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::names::{files_below, is_name, is_relative};

/// The settings of a model.
const CONFIG_FILE: &str = "config.json";
/// The revision with the Parquet files that the Hub has converted a dataset to.
pub(crate) const CONVERTED: &str = "refs/convert/parquet";
/// The files of weights, in order of preference.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// The files of a model, in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// `model.safetensors` or `pytorch_model.bin`.
    pub weights: PathBuf,
    /// `config.json`, if the repository has one.
    pub config: Option<PathBuf>,
}

/// The files of a dataset, in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetFiles {
    /// The folder of the commit.
    pub folder: PathBuf,
    /// The Parquet files, or the tar shards and the files that describe them.
    pub files: Vec<PathBuf>,
}

/// A request for the files of one repository.
pub(crate) struct Request<'a> {
    pub hub: &'a Hub,
    /// The name as given, for messages.
    pub name: &'a str,
    pub id: &'a str,
    pub revision: &'a str,
    pub kind: RepoType,
}

impl Request<'_> {
    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.id.to_owned(), self.kind, revision.to_owned())
    }

    /// The model files in the cache at a branch, tag or commit.
    pub fn cached_model(&self, revision: &str) -> Option<ModelFiles> {
        let repo = Cache::new(self.hub.cache.clone()).repo(self.repo(revision));
        let file = |name: &str| {
            let pinned = repo.pointer_path(revision).join(name);
            repo.get(name).or(Some(pinned)).filter(|path| path.is_file())
        };
        Some(ModelFiles { weights: WEIGHTS.iter().find_map(|name| file(name))?, config: file(CONFIG_FILE) })
    }

    fn api(&self) -> Result<Api> {
        let builder = ApiBuilder::from_cache(Cache::new(self.hub.cache.clone()))
            .with_endpoint(self.hub.endpoint.clone())
            .with_token(self.hub.token.clone())
            .with_retries(self.hub.retries);
        builder.build().map_err(|e| self.failed("the client", &e))
    }

    /// The dataset files in the cache at the revision.
    pub fn cached_dataset(&self, config: Option<&str>) -> Result<Option<DatasetFiles>> {
        let repo = Cache::new(self.hub.cache.clone()).repo(self.repo(self.revision));
        let commit = std::fs::read_to_string(self.reference()).unwrap_or_else(|_| self.revision.to_owned());
        let folder = repo.pointer_path(commit.trim());
        if !is_name(commit.trim()) || !folder.is_dir() {
            return Ok(None);
        }
        let files = files_below(&folder).map_err(Error::io("read", &folder))?;
        Ok(self.of_configuration(&files, config)?.map(|files| {
            let files = files.iter().map(|file| folder.join(file)).collect();
            DatasetFiles { folder, files }
        }))
    }

    /// The dataset files at the revision, downloaded if necessary.
    pub fn online_dataset(&self, config: Option<&str>) -> Result<Option<DatasetFiles>> {
        let api = self.api()?;
        let info = match api.repo(self.repo(self.revision)).info() {
            Ok(info) => info,
            // The Hub has not converted this dataset.
            Err(error) if status(&error) == Some(404) && self.revision == CONVERTED => return Ok(None),
            Err(error) => return Err(self.failed("dataset of this name, or no such revision of it", &error)),
        };
        if !is_name(&info.sha) {
            return Err(Error::hub(
                self.name,
                format!("the server names the commit {:?}, which cannot be one", info.sha),
            ));
        }
        let all: Vec<String> =
            info.siblings.into_iter().map(|file| file.rfilename).filter(|name| is_relative(name)).collect();
        let Some(wanted) = self.of_configuration(&all, config)? else { return Ok(None) };
        let mut files = Vec::new();
        for name in &wanted {
            let metadata = api.metadata(&api.repo(self.repo(&info.sha)).url(name));
            let metadata = metadata.map_err(|error| self.failed(name, &error))?;
            files.push(self.file(&api, &info.sha, name, &metadata)?);
        }
        self.write_reference(&info.sha)?;
        let cache = Cache::new(self.hub.cache.clone()).repo(self.repo(self.revision));
        Ok(Some(DatasetFiles { folder: cache.pointer_path(&info.sha), files }))
    }

    /// The file with the commit that the revision stands for.
    fn reference(&self) -> PathBuf {
        self.hub.cache.join(self.repo(self.revision).folder_name()).join("refs").join(self.revision)
    }

    /// Records the commit that the revision stands for.
    fn write_reference(&self, commit: &str) -> Result<()> {
        let path = self.reference();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        write_atomically(&path, commit).map_err(Error::io("write", &path))
    }

    /// The files of the configuration that is asked for.
    fn of_configuration(&self, files: &[String], config: Option<&str>) -> Result<Option<Vec<String>>> {
        files_of_configuration(files, config).map_err(|configs| {
            let list = configs.join(", ");
            let reason = match config {
                Some(config) => format!("it has no configuration {config}, but {list}"),
                None => format!("it has several configurations; name one ({}:CONFIG): {list}", self.id),
            };
            Error::hub(self.name, reason)
        })
    }

    /// The model files at the revision, downloaded if necessary.
    pub fn online_model(&self) -> Result<ModelFiles> {
        let api = self.api()?;
        let mut found = None;
        for name in WEIGHTS {
            match api.metadata(&api.repo(self.repo(self.revision)).url(name)) {
                Ok(metadata) => {
                    found = Some((name, metadata));
                    break;
                }
                Err(error) if status(&error) == Some(404) => {}
                Err(error) => return Err(self.failed(name, &error)),
            }
        }
        let Some((weights, metadata)) = found else {
            let [first, second] = WEIGHTS;
            let reason = format!(
                "404: there is no {first} or {second} at revision {}: check the name and the revision at {}/{}",
                self.revision, self.hub.endpoint, self.id
            );
            return Err(Error::hub(self.name, reason));
        };
        // Both files at the same commit, even if the branch moves meanwhile.
        let commit = metadata.commit_hash().to_owned();
        if !is_name(&commit) {
            return Err(Error::hub(self.name, format!("the server names the commit {commit:?}, which is not valid")));
        }
        let weights = self.file(&api, &commit, weights, &metadata)?;
        let config = match api.metadata(&api.repo(self.repo(&commit)).url(CONFIG_FILE)) {
            Ok(metadata) => Some(self.file(&api, &commit, CONFIG_FILE, &metadata)?),
            Err(error) if status(&error) == Some(404) => None,
            Err(error) => return Err(self.failed(CONFIG_FILE, &error)),
        };
        self.write_reference(&commit)?;
        Ok(ModelFiles { weights, config })
    }

    /// The file of a commit, from the cache or downloaded and checked.
    fn file(&self, api: &Api, commit: &str, name: &str, announced: &Metadata) -> Result<PathBuf> {
        let cache = Cache::new(self.hub.cache.clone()).repo(self.repo(commit));
        let pointer = cache.pointer_path(commit).join(name);
        let size = announced.size() as u64;
        if pointer.metadata().is_ok_and(|metadata| metadata.len() == size) {
            return Ok(pointer);
        }
        if !is_name(announced.etag()) {
            return Err(Error::hub(
                self.name,
                format!("{name}: the server's ETag {:?} is not valid", announced.etag()),
            ));
        }
        let blob = cache.blob_path(announced.etag());
        // Servers refuse to resume a partial file that is complete already.
        let part = blob.with_extension("part");
        if part.metadata().is_ok_and(|metadata| metadata.len() >= size) {
            std::fs::remove_file(&part).map_err(Error::io("replace", &part))?;
        }
        // A file of this name in the cache differs from the announced one.
        for stale in [&pointer, &blob] {
            if stale.symlink_metadata().is_ok() {
                std::fs::remove_file(stale).map_err(Error::io("replace", stale))?;
            }
        }
        let repo = api.repo(self.repo(commit));
        let path = match self.hub.progress {
            true => repo.download_with_progress(name, ProgressBar::new(size)),
            false => repo.download_with_progress(name, ()),
        };
        let path = path.map_err(|error| self.failed(name, &error))?;
        if let Some(reason) = difference(&path, announced).map_err(Error::io("read", &path))? {
            let _ = (std::fs::remove_file(&path), std::fs::remove_file(&blob));
            return Err(Error::hub(self.name, format!("{name}: {reason}; the file was deleted")));
        }
        Ok(path)
    }

    /// The error for a failed request.
    fn failed(&self, file: &str, error: &ApiError) -> Error {
        let reason = match status(error) {
            Some(401 | 403) => {
                let code = status(error).unwrap_or_default();
                let tried = if self.hub.token.is_some() { "the token has no access" } else { "no token was sent" };
                format!(
                    "{code}: it does not exist, is private, or requires accepting its terms ({tried}): check the \
                     name, and set HF_TOKEN to a token with access"
                )
            }
            Some(404) => format!("404: there is no {file}"),
            Some(code) => format!("{file}: {} answered with status {code}", self.hub.endpoint),
            None => format!(
                "{file}: {error} ({}); the downloaded part is kept: run again to resume, or set HF_HUB_OFFLINE=1 to use \
                 only the cache",
                self.hub.endpoint
            ),
        };
        Error::hub(self.name, reason)
    }
}

/// The HTTP status of a failed request.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(code) => Some(code),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

/// The difference between a file and the announced one, if any: its size, or its SHA-256 if the ETag is one (for large
/// files; for others it is git's hash).
fn difference(path: &Path, announced: &Metadata) -> std::io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let (found, expected) = (file.metadata()?.len(), announced.size() as u64);
    if found != expected {
        return Ok(Some(format!("{found} bytes arrived, {expected} were announced")));
    }
    if announced.etag().len() != 64 {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let differs = !hex.eq_ignore_ascii_case(announced.etag());
    Ok(differs.then(|| format!("its SHA-256 is {hex}, {} was announced", announced.etag())))
}
