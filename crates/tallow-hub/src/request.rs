//! Finds the files of a repository in the cache, or downloads them. All files are of one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hf_hub::Repo;
use serde::Deserialize;
use tallow_base::write_atomically;

use crate::cache::Cached;
use crate::client::{Announced, Client};
use crate::configuration::files_of_configuration;
use crate::download::Download;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::hub::Hub;
use crate::names::{encoded, files_below, is_name, is_relative};

/// The settings of a model.
const CONFIG_FILE: &str = "config.json";
/// The revision with the Parquet files that the Hub has converted a dataset to.
pub(crate) const CONVERTED: &str = "refs/convert/parquet";
/// How the images of a model of Transformers are prepared.
const PREPROCESSOR_FILE: &str = "preprocessor_config.json";
/// The files of weights, in order of preference: one file, or the index of several.
const WEIGHTS: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
const ONLY_CACHE: &str = "or set HF_HUB_OFFLINE=1 to use only the cache";

/// The files of a model, in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// `model.safetensors` or `pytorch_model.bin`, or the index of its shards, which lie beside it.
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
    /// The repository at the revision.
    pub repo: Repo,
}

/// The files of a repository at a commit.
#[derive(Deserialize)]
struct Repository {
    sha: String,
    siblings: Vec<RepositoryFile>,
}

#[derive(Deserialize)]
struct RepositoryFile {
    rfilename: String,
}

impl Request<'_> {
    fn cached(&self) -> Cached {
        Cached::new(&self.hub.cache, &self.repo)
    }

    /// The model files in the cache at the revision.
    pub fn cached_model(&self) -> Option<ModelFiles> {
        let cached = self.cached();
        let commit = cached.commit(self.repo.revision());
        let folder = is_name(&commit).then(|| cached.snapshot(&commit))?;
        let file = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        let weights = WEIGHTS.iter().find_map(|name| file(name))?;
        let complete = self.shards(&weights).ok()?.iter().all(|shard| file(shard).is_some());
        complete.then(|| ModelFiles { weights, config: file(CONFIG_FILE) })
    }

    fn client(&self) -> Result<Client> {
        Client::new(self.hub).map_err(|failure| self.failed("the client", &failure))
    }

    /// The address of a file at a revision.
    fn address(&self, revision: &str, file: &str) -> String {
        let revision = revision.replace('/', "%2F");
        format!("{}/{}/resolve/{revision}/{}", self.hub.endpoint, self.repo.url(), encoded(file))
    }

    /// The dataset files in the cache at the revision.
    pub fn cached_dataset(&self, config: Option<&str>) -> Result<Option<DatasetFiles>> {
        let cached = self.cached();
        let commit = cached.commit(self.repo.revision());
        let folder = cached.snapshot(&commit);
        if !is_name(&commit) || !folder.is_dir() {
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
        let client = self.client()?;
        let list = format!("{}/api/{}", self.hub.endpoint, self.repo.api_url());
        let repository: Repository = match client.json(&list) {
            Ok(repository) => repository,
            // The Hub has not converted this dataset.
            Err(failure) if failure.status() == Some(404) && self.repo.revision() == CONVERTED => return Ok(None),
            Err(failure) => return Err(self.failed("dataset of this name, or no such revision of it", &failure)),
        };
        let commit = self.checked_commit(&repository.sha)?;
        let names = repository.siblings.into_iter().map(|file| file.rfilename);
        let all: Vec<String> = names.filter(|name| is_relative(name)).collect();
        let Some(wanted) = self.of_configuration(&all, config)? else { return Ok(None) };
        let mut files = Vec::new();
        for name in &wanted {
            let announced = client.announced(&self.address(commit, name));
            let announced = announced.map_err(|failure| self.failed(name, &failure))?;
            files.push(self.file(&client, name, &Announced { commit: commit.into(), ..announced })?);
        }
        self.write_reference(commit)?;
        Ok(Some(DatasetFiles { folder: self.cached().snapshot(commit), files }))
    }

    /// The name of a commit as the server gives it, which becomes a folder's name.
    fn checked_commit<'a>(&self, commit: &'a str) -> Result<&'a str> {
        match is_name(commit) {
            true => Ok(commit),
            false => Err(Error::hub(self.name, format!("the server names the commit {commit:?}, which is not valid"))),
        }
    }

    /// Records the commit that the revision stands for.
    fn write_reference(&self, commit: &str) -> Result<()> {
        let path = self.cached().reference(self.repo.revision());
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
        let client = self.client()?;
        let mut found = None;
        for name in WEIGHTS {
            match client.announced(&self.address(self.repo.revision(), name)) {
                Ok(announced) => {
                    found = Some((name, announced));
                    break;
                }
                Err(failure) if failure.status() == Some(404) => {}
                Err(failure) => return Err(self.failed(name, &failure)),
            }
        }
        let Some((weights, announced)) = found else {
            let [first, _, second, _] = WEIGHTS;
            let reason = format!(
                "404: there is no {first} or {second} at revision {}: check the name and the revision at {}/{}",
                self.repo.revision(),
                self.hub.endpoint,
                self.id
            );
            return Err(Error::hub(self.name, reason));
        };
        // Both files at the same commit, even if the branch moves meanwhile.
        let commit = self.checked_commit(&announced.commit)?.to_owned();
        let weights = self.file(&client, weights, &announced)?;
        for shard in self.shards(&weights)? {
            if self.file_at(&client, &commit, &shard)?.is_none() {
                return Err(Error::hub(self.name, format!("404: there is no {shard}, which the index names")));
            }
        }
        let config = self.file_at(&client, &commit, CONFIG_FILE)?;
        if config.is_some() {
            self.file_at(&client, &commit, PREPROCESSOR_FILE)?;
        }
        self.write_reference(&commit)?;
        Ok(ModelFiles { weights, config })
    }

    /// The files that an index of weights names; none for a file of weights.
    fn shards(&self, weights: &Path) -> Result<BTreeSet<String>> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        if !weights.to_string_lossy().ends_with(".index.json") {
            return Ok(BTreeSet::new());
        }
        let text = std::fs::read(weights).map_err(Error::io("read", weights))?;
        let wrong = |found: &str| {
            let expected = "expected a weight_map of tensors' names to names of files beside it";
            Error::hub(self.name, format!("{}: {expected}, found {found}", weights.display()))
        };
        let index: Index = serde_json::from_slice(&text).map_err(|error| wrong(&error.to_string()))?;
        let shards: BTreeSet<String> = index.weight_map.into_values().collect();
        match shards.iter().find(|shard| !is_name(shard) || shard.contains('/')) {
            Some(shard) => Err(wrong(&format!("{shard:?}"))),
            None => Ok(shards),
        }
    }

    /// A file of a commit, from the cache or downloaded; `None` if the repository does not have it.
    fn file_at(&self, client: &Client, commit: &str, name: &str) -> Result<Option<PathBuf>> {
        match client.announced(&self.address(commit, name)) {
            Ok(announced) => self.file(client, name, &Announced { commit: commit.into(), ..announced }).map(Some),
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) => Err(self.failed(name, &failure)),
        }
    }

    /// The file of the announced commit, from the cache or downloaded and checked.
    fn file(&self, client: &Client, name: &str, announced: &Announced) -> Result<PathBuf> {
        if !is_name(&announced.etag) || announced.etag.contains('/') {
            return Err(Error::hub(self.name, format!("{name}: the server's ETag {:?} is not valid", announced.etag)));
        }
        let address = self.address(&announced.commit, name);
        let (cached, progress) = (self.cached(), self.hub.progress);
        let download = Download { client, cached: &cached, address: &address, file: name, announced, progress };
        download.run().map_err(|failure| match failure {
            Failure::Cache(error) => error,
            failure => self.failed(name, &failure),
        })
    }

    /// The error for a failed request.
    fn failed(&self, file: &str, failure: &Failure) -> Error {
        let has_token = self.hub.token.is_some();
        let reason = match failure {
            Failure::Status { code: code @ (401 | 403), message, .. } => {
                let tried = if has_token { "the token has no access" } else { "no token was sent" };
                let said = message.as_ref().map(|text| format!("; the server says: {text}")).unwrap_or_default();
                format!(
                    "{code}: it does not exist, is private, or requires accepting its terms ({tried}{said}): check the \
                     name, and set HF_TOKEN to a token with access"
                )
            }
            Failure::Status { code: 404, .. } => format!("404: there is no {file}"),
            Failure::Status { code: 429, retry_after, .. } => {
                let when = retry_after.map_or("later".into(), |pause| format!("in {} s", pause.as_secs()));
                let token = if has_token { "" } else { ", or set HF_TOKEN: requests with a token have a higher limit" };
                format!("429: {file}: {} limits the number of requests: try again {when}{token}", self.hub.endpoint)
            }
            Failure::Status { code: 500.., .. } => {
                format!("{file}: {failure}: the fault is the server's; try again later, {ONLY_CACHE}")
            }
            Failure::Connection(_) | Failure::Broken(_) => {
                let endpoint = &self.hub.endpoint;
                format!(
                    "{file}: {failure} ({endpoint}); the downloaded part is kept: run again to resume, {ONLY_CACHE}"
                )
            }
            Failure::Status { .. } | Failure::Redirect(_) | Failure::Answer(_) => {
                format!("{file}: {failure}: check HF_ENDPOINT ({}) and the network's proxy", self.hub.endpoint)
            }
            Failure::Content(reason) => format!("{file}: {reason}; the file was deleted"),
            Failure::Address { .. } | Failure::Token | Failure::Cache(_) => failure.to_string(),
        };
        Error::hub(self.name, reason)
    }
}
