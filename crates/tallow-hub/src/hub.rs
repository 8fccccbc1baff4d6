//! The Hub's client: a repository's files, in the cache that Python's tools share.
//!
//! `hf-hub` speaks the protocol and resumes a download that was cut. What it leaves to its caller is done
//! here: the environment, one commit for all files of a repository, and the announced size and SHA-256.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, Metadata};
use hf_hub::{Cache, Repo, RepoType};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use crate::choose::choose;
use crate::error::{Error, Result};

/// A model's settings.
const CONFIG_FILE: &str = "config.json";
/// Where the Hub keeps Parquet files of datasets that are stored otherwise.
const CONVERTED: &str = "refs/convert/parquet";

/// Where weights are in a repository, the better first.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// How the Hub is reached.
#[derive(Debug, Clone)]
pub struct Hub {
    /// `https://huggingface.co`, or a mirror.
    pub endpoint: String,
    /// The folder of repositories: `~/.cache/huggingface/hub`.
    pub cache: PathBuf,
    /// Sent with each request, if there is one.
    pub token: Option<String>,
    /// Whether nothing but the cache is used.
    pub offline: bool,
    /// Whether a progress bar is shown.
    pub progress: bool,
    /// How often a download that was cut is resumed at once.
    pub retries: usize,
}

/// A model's files, in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// `model.safetensors` or `pytorch_model.bin`.
    pub weights: PathBuf,
    /// `config.json`, if the repository has one.
    pub config: Option<PathBuf>,
}

/// A dataset's files, in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The folder of the commit.
    pub folder: PathBuf,
    /// The Parquet files or tar shards, and what says something of them.
    pub files: Vec<PathBuf>,
}

impl Hub {
    /// As the environment says, by the names that Python's tools use: `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`,
    /// `HF_TOKEN` (else the token file of `hf auth login`), `HF_HUB_OFFLINE`.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let cached = || set("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || std::env::home_dir().unwrap_or_default().join(".cache");
        let base = set("HF_HOME").map_or_else(|| cached().unwrap_or_else(home).join("huggingface"), PathBuf::from);
        let cache = set("HF_HUB_CACHE").map_or_else(|| base.join("hub"), PathBuf::from);
        let filed = || std::fs::read_to_string(base.join("token")).ok().filter(|token| !token.trim().is_empty());
        let token = set("HF_TOKEN").or_else(filed).map(|token| token.trim().to_owned());
        let offline = set("HF_HUB_OFFLINE").is_some_and(|value| !matches!(value.as_str(), "0" | "false" | "no"));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Hub { endpoint, cache, token, offline, progress: true, retries: 2 }
    }

    /// The weights and the `config.json` of `OWNER/REPO` or `OWNER/REPO@REVISION`; a branch, tag or commit. What the
    /// cache has of the commit that the Hub names is not fetched again.
    ///
    /// # Errors
    /// A name that is none; a repository that does not exist, is closed, or holds no weights; no connection and nothing
    /// in the cache; a file that is not what was announced: it is deleted.
    pub fn fetch(&self, name: &str) -> Result<Fetched> {
        let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
        if !(valid(id) && id.split('/').count() <= 2 && valid(revision)) {
            return Err(hub(name, "expected OWNER/REPO or OWNER/REPO@REVISION".to_owned()));
        }
        self.check_endpoint(name)?;
        let request = Request { hub: self, name, id, revision, kind: RepoType::Model };
        if self.offline {
            let not_cached = || {
                let cache = self.cache.display();
                hub(name, format!("HF_HUB_OFFLINE is set, and {cache} does not hold it: fetch it once without"))
            };
            return request.cached(revision).ok_or_else(not_cached);
        }
        request.online()
    }

    /// The Parquet files, or else the tar shards, of the dataset `OWNER/NAME[:CONFIG][@REVISION]`; of one that is stored
    /// otherwise the Parquet files that the Hub has made of it. What the cache has of the commit that the Hub names is
    /// not fetched again.
    ///
    /// # Errors
    /// A name that is none; a repository that does not exist, is closed, or holds no such files; a configuration that it
    /// does not have, or none given where there are several; no connection and nothing in the cache; a file that is not
    /// what was announced: it is deleted.
    pub fn dataset(&self, name: &str) -> Result<Repository> {
        let (rest, revision) = name.split_once('@').map_or((name, None), |(rest, revision)| (rest, Some(revision)));
        let (id, config) = rest.split_once(':').map_or((rest, None), |(id, config)| (id, Some(config)));
        let all_valid = valid(id) && revision.is_none_or(valid) && config.is_none_or(valid);
        if !(all_valid && id.split('/').count() <= 2) {
            return Err(hub(name, "expected OWNER/NAME, OWNER/NAME:CONFIG or OWNER/NAME@REVISION".to_owned()));
        }
        self.check_endpoint(name)?;
        let request = |revision| Request { hub: self, name, id, revision, kind: RepoType::Dataset };
        let revisions = revision.map_or_else(|| vec!["main", CONVERTED], |revision| vec![revision]);
        for revision in revisions {
            let files = match self.offline {
                true => request(revision).cached_files(config)?,
                false => request(revision).online_files(config)?,
            };
            if let Some(files) = files {
                return Ok(files);
            }
        }
        Err(hub(
            name,
            match self.offline {
                true => format!(
                    "HF_HUB_OFFLINE is set, and {} does not hold it: fetch it once without",
                    self.cache.display()
                ),
                false => format!(
                    "it holds no .parquet file and no .tar shard: see {}/datasets/{id}/tree/main",
                    self.endpoint
                ),
            },
        ))
    }

    fn check_endpoint(&self, name: &str) -> Result<()> {
        if self.endpoint.starts_with("http://") || self.endpoint.starts_with("https://") {
            return Ok(());
        }
        let expected = "expected an address that starts with https://";
        Err(hub(name, format!("HF_ENDPOINT is {}, {expected}", self.endpoint)))
    }
}

/// Letters, digits and `-_.` in parts that no file system takes for something else.
fn valid(name: &str) -> bool {
    let part = |part: &str| {
        let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        plain && !part.is_empty() && !part.starts_with('.')
    };
    name.split('/').all(part)
}

/// True for a path that stays below the folder that it is joined to.
fn plain(name: &str) -> bool {
    !name.contains('\\') && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The files anywhere below a folder, as paths in it, sorted.
fn below(folder: &Path) -> std::io::Result<Vec<String>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.extend(path.strip_prefix(folder).map(|path| path.to_string_lossy().into_owned())),
            }
        }
    }
    files.sort();
    Ok(files)
}

fn hub(name: &str, reason: String) -> Error {
    Error::Hub { repository: name.to_owned(), reason }
}

struct Request<'a> {
    hub: &'a Hub,
    name: &'a str,
    id: &'a str,
    revision: &'a str,
    kind: RepoType,
}

impl Request<'_> {
    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.id.to_owned(), self.kind, revision.to_owned())
    }

    /// What the cache has of a branch, tag or commit.
    fn cached(&self, revision: &str) -> Option<Fetched> {
        let repo = Cache::new(self.hub.cache.clone()).repo(self.repo(revision));
        let file = |name: &str| {
            let pinned = repo.pointer_path(revision).join(name);
            repo.get(name).or(Some(pinned)).filter(|path| path.is_file())
        };
        Some(Fetched { weights: WEIGHTS.iter().find_map(|name| file(name))?, config: file(CONFIG_FILE) })
    }

    fn api(&self) -> Result<Api> {
        let builder = ApiBuilder::from_cache(Cache::new(self.hub.cache.clone()))
            .with_endpoint(self.hub.endpoint.clone())
            .with_token(self.hub.token.clone())
            .with_retries(self.hub.retries);
        builder.build().map_err(|e| self.failed("the client", &e))
    }

    /// A dataset's files that the cache has of a branch, tag or commit.
    fn cached_files(&self, config: Option<&str>) -> Result<Option<Repository>> {
        let repo = Cache::new(self.hub.cache.clone()).repo(self.repo(self.revision));
        let reference = self.hub.cache.join(self.repo(self.revision).folder_name()).join("refs").join(self.revision);
        let commit = std::fs::read_to_string(reference).unwrap_or_else(|_| self.revision.to_owned());
        let folder = repo.pointer_path(commit.trim());
        if !valid(commit.trim()) || !folder.is_dir() {
            return Ok(None);
        }
        let files = below(&folder).map_err(Error::io("read", &folder))?;
        Ok(self.chosen(&files, config)?.map(|files| {
            let files = files.iter().map(|file| folder.join(file)).collect();
            Repository { folder, files }
        }))
    }

    fn online_files(&self, config: Option<&str>) -> Result<Option<Repository>> {
        let api = self.api()?;
        let info = match api.repo(self.repo(self.revision)).info() {
            Ok(info) => info,
            // Not every dataset has been converted.
            Err(error) if status(&error) == Some(404) && self.revision == CONVERTED => return Ok(None),
            Err(error) => return Err(self.failed("dataset of this name, or no such revision of it", &error)),
        };
        if !valid(&info.sha) {
            return Err(hub(self.name, format!("the server names the commit {:?}, which cannot be one", info.sha)));
        }
        let all: Vec<String> =
            info.siblings.into_iter().map(|file| file.rfilename).filter(|name| plain(name)).collect();
        let Some(wanted) = self.chosen(&all, config)? else { return Ok(None) };
        let mut files = Vec::new();
        for name in &wanted {
            let metadata = api.metadata(&api.repo(self.repo(&info.sha)).url(name));
            let metadata = metadata.map_err(|error| self.failed(name, &error))?;
            files.push(self.file(&api, &info.sha, name, &metadata)?);
        }
        let cache = Cache::new(self.hub.cache.clone()).repo(self.repo(self.revision));
        cache.create_ref(&info.sha).map_err(Error::io("write", &self.hub.cache))?;
        Ok(Some(Repository { folder: cache.pointer_path(&info.sha), files }))
    }

    fn chosen(&self, files: &[String], config: Option<&str>) -> Result<Option<Vec<String>>> {
        choose(files, config).map_err(|configs| {
            let list = configs.join(", ");
            hub(
                self.name,
                match config {
                    Some(config) => format!("it has no configuration {config}, but {list}"),
                    None => format!("it has several configurations, name one as hf:{}:CONFIG: {list}", self.id),
                },
            )
        })
    }

    fn online(&self) -> Result<Fetched> {
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
            return Err(hub(self.name, reason));
        };
        // Both files of the commit that the revision stood for just now.
        let commit = metadata.commit_hash().to_owned();
        if !valid(&commit) {
            return Err(hub(self.name, format!("the server names the commit {commit:?}, which cannot be one")));
        }
        let weights = self.file(&api, &commit, weights, &metadata)?;
        let config = match api.metadata(&api.repo(self.repo(&commit)).url(CONFIG_FILE)) {
            Ok(metadata) => Some(self.file(&api, &commit, CONFIG_FILE, &metadata)?),
            Err(error) if status(&error) == Some(404) => None,
            Err(error) => return Err(self.failed(CONFIG_FILE, &error)),
        };
        let cache = Cache::new(self.hub.cache.clone()).repo(self.repo(self.revision));
        cache.create_ref(&commit).map_err(Error::io("write", &self.hub.cache))?;
        Ok(Fetched { weights, config })
    }

    /// A file of a commit, from the cache or else the Hub, checked when it is fetched.
    fn file(&self, api: &Api, commit: &str, name: &str, announced: &Metadata) -> Result<PathBuf> {
        let cache = Cache::new(self.hub.cache.clone()).repo(self.repo(commit));
        let pointer = cache.pointer_path(commit).join(name);
        let size = announced.size() as u64;
        if pointer.metadata().is_ok_and(|metadata| metadata.len() == size) {
            return Ok(pointer);
        }
        if !valid(announced.etag()) {
            return Err(hub(self.name, format!("{name}: the server's ETag {:?} cannot be one", announced.etag())));
        }
        let blob = cache.blob_path(announced.etag());
        // A part that is complete would be asked on from its end, which servers refuse.
        let part = blob.with_extension("part");
        if part.metadata().is_ok_and(|metadata| metadata.len() >= size) {
            std::fs::remove_file(&part).map_err(Error::io("replace", &part))?;
        }
        // Else what the cache has under this name is not what was announced.
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
        if let Some(reason) = wrong(&path, announced).map_err(Error::io("read", &path))? {
            let _ = (std::fs::remove_file(&path), std::fs::remove_file(&blob));
            return Err(hub(self.name, format!("{name}: {reason}; it was deleted, fetch it again")));
        }
        Ok(path)
    }

    /// What a failure means, and what to do.
    fn failed(&self, file: &str, error: &ApiError) -> Error {
        let reason = match status(error) {
            Some(401 | 403) => {
                let code = status(error).unwrap_or_default();
                let tried = if self.hub.token.is_some() { "the token may not read it" } else { "no token was sent" };
                format!(
                    "{code}: it does not exist, is private, or wants its terms accepted ({tried}): check the name, and set \
                     HF_TOKEN to a token that may read it"
                )
            }
            Some(404) => format!("404: there is no {file}"),
            Some(code) => format!("{file}: {} answered with status {code}", self.hub.endpoint),
            None => format!(
                "{file}: {error} ({}); what has arrived is kept: run again to go on, or set HF_HUB_OFFLINE=1 to use the \
                 cache alone",
                self.hub.endpoint
            ),
        };
        hub(self.name, reason)
    }
}

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

/// What differs between a file and what was announced: its size, and its SHA-256 where the ETag is one (of large
/// files; of others it is git's hash).
fn wrong(path: &Path, announced: &Metadata) -> std::io::Result<Option<String>> {
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
