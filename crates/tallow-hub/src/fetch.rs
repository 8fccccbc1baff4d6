//! The public functions of the client.

use hf_hub::{Repo, RepoType};

use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::names::is_name;
use crate::request::{CONVERTED, DatasetFiles, ModelFiles, Request};

impl Hub {
    /// The weights and the `config.json` of the model `OWNER/REPO` or `OWNER/REPO@REVISION`; a revision is a branch,
    /// tag or commit. Downloads the files that the cache does not have for the current commit.
    ///
    /// # Errors
    /// The name is invalid; the repository does not exist, is not accessible, or has no weights; there is no connection
    /// and the cache does not have the files; a downloaded file differs from the announced size or hash (it is
    /// deleted).
    pub fn model(&self, name: &str) -> Result<ModelFiles> {
        let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
        if !(is_name(id) && id.split('/').count() <= 2 && is_name(revision)) {
            return Err(Error::hub(name, "expected OWNER/REPO or OWNER/REPO@REVISION".to_owned()));
        }
        self.check_endpoint(name)?;
        let repo = Repo::with_revision(id.to_owned(), RepoType::Model, revision.to_owned());
        let request = Request { hub: self, name, id, repo };
        if self.offline {
            return request.cached_model().ok_or_else(|| Error::hub(name, self.not_cached()));
        }
        request.online_model()
    }

    /// The Parquet files, or else the tar shards, of the dataset `OWNER/NAME[:CONFIG][@REVISION]`. For a dataset in
    /// another format, the Parquet files that the Hub has converted it to. Downloads the files that the cache does not
    /// have for the current commit.
    ///
    /// # Errors
    /// As [`model`](Self::model); the configuration does not exist, or none is given and there are several.
    pub fn dataset(&self, name: &str) -> Result<DatasetFiles> {
        let (rest, revision) = name.split_once('@').map_or((name, None), |(rest, revision)| (rest, Some(revision)));
        let (id, config) = rest.split_once(':').map_or((rest, None), |(id, config)| (id, Some(config)));
        let all_valid = is_name(id) && revision.is_none_or(is_name) && config.is_none_or(is_name);
        if !(all_valid && id.split('/').count() <= 2) {
            return Err(Error::hub(name, "expected OWNER/NAME, OWNER/NAME:CONFIG or OWNER/NAME@REVISION".to_owned()));
        }
        self.check_endpoint(name)?;
        let repo = |revision: &str| Repo::with_revision(id.to_owned(), RepoType::Dataset, revision.to_owned());
        let request = |revision| Request { hub: self, name, id, repo: repo(revision) };
        let revisions = revision.map_or_else(|| vec!["main", CONVERTED], |revision| vec![revision]);
        for revision in revisions {
            let files = match self.offline {
                true => request(revision).cached_dataset(config)?,
                false => request(revision).online_dataset(config)?,
            };
            if let Some(files) = files {
                return Ok(files);
            }
        }
        let reason = match self.offline {
            true => self.not_cached(),
            false => {
                format!("it has no .parquet file and no .tar shard: see {}/datasets/{id}/tree/main", self.endpoint)
            }
        };
        Err(Error::hub(name, reason))
    }

    fn not_cached(&self) -> String {
        format!("HF_HUB_OFFLINE is set, and it is not in the cache {}", self.cache.display())
    }

    fn check_endpoint(&self, name: &str) -> Result<()> {
        if self.endpoint.starts_with("http://") || self.endpoint.starts_with("https://") {
            return Ok(());
        }
        let expected = "expected an address that starts with https://";
        Err(Error::hub(name, format!("HF_ENDPOINT is {}, {expected}", self.endpoint)))
    }
}
