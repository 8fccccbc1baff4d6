//! The configuration of the client.

use std::fmt;
use std::path::PathBuf;

/// A client of the Hugging Face Hub.
#[derive(Clone)]
pub struct Hub {
    /// The address of the Hub, `https://huggingface.co`, or of a mirror.
    pub endpoint: String,
    /// The cache folder, `~/.cache/huggingface/hub` by default.
    pub cache: PathBuf,
    /// The access token. It is sent to `endpoint` alone, not to the servers that it redirects to.
    pub token: Option<String>,
    /// Use only files in the cache.
    pub offline: bool,
    /// Show a progress bar.
    pub progress: bool,
    /// The number of times that a broken download is resumed, and a request repeated that a busy server refuses.
    pub retries: usize,
}

/// Without the token, so that no log shows it.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, cache, token, offline, progress, retries } = self;
        let mut shown = f.debug_struct("Hub");
        shown.field("endpoint", endpoint).field("cache", cache).field("token", &token.as_ref().map(|_| "…"));
        shown.field("offline", offline).field("progress", progress).field("retries", retries).finish()
    }
}

impl Hub {
    /// A client configured by the environment variables of the Python library `huggingface_hub`: `HF_ENDPOINT`,
    /// `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN` (else the token file of `hf auth login`), `HF_HUB_OFFLINE`.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let cached = || set("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || std::env::home_dir().unwrap_or_default().join(".cache");
        let base = set("HF_HOME").map_or_else(|| cached().unwrap_or_else(home).join("huggingface"), PathBuf::from);
        let cache = set("HF_HUB_CACHE").map_or_else(|| base.join("hub"), PathBuf::from);
        let from_file = || std::fs::read_to_string(base.join("token")).ok().filter(|token| !token.trim().is_empty());
        let token = set("HF_TOKEN").or_else(from_file).map(|token| token.trim().to_owned());
        let offline = set("HF_HUB_OFFLINE").is_some_and(|value| !matches!(value.as_str(), "0" | "false" | "no"));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Hub { endpoint, cache, token, offline, progress: true, retries: 2 }
    }
}
