//! Where a redirect leads, and which addresses may see the access token.

use ureq::http::uri::Scheme;
use ureq::http::{HeaderValue, Uri};

use crate::failure::Failure;

/// The address that a redirect from `at` leads to.
pub(crate) fn target(at: &Uri, location: Option<&HeaderValue>) -> Result<Uri, Failure> {
    let refused = |reason: String| Failure::Redirect(format!("{} redirects {reason}", shown(at)));
    let location = location.ok_or_else(|| refused("without an address".into()))?;
    let unusable = || refused("to something that is no http address".into());
    let target = resolve(at, location.to_str().map_err(|_| unusable())?).ok_or_else(unusable)?;
    if at.scheme() == Some(&Scheme::HTTPS) && target.scheme() != Some(&Scheme::HTTPS) {
        return Err(refused(format!("to {}, which is not encrypted", shown(&target))));
    }
    Ok(target)
}

/// An address for messages: without the query, which often holds a signature, and without a password.
pub(crate) fn shown(address: &Uri) -> String {
    let scheme = address.scheme_str().unwrap_or_default();
    let host = address.authority().map_or("", |authority| authority.as_str().rsplit('@').next().unwrap_or_default());
    format!("{scheme}://{host}{}", address.path())
}

/// The address that a reference stands for, seen from `at`.
fn resolve(at: &Uri, reference: &str) -> Option<Uri> {
    let (scheme, authority) = (at.scheme_str()?, at.authority()?);
    let path = at.path();
    let reference = reference.split('#').next().unwrap_or_default();
    let absolute = match reference {
        full if full.contains("://") && !full.starts_with('/') => full.to_owned(),
        other_host if other_host.starts_with("//") => format!("{scheme}:{other_host}"),
        from_root if from_root.starts_with('/') => format!("{scheme}://{authority}{from_root}"),
        query if query.is_empty() || query.starts_with('?') => format!("{scheme}://{authority}{path}{query}"),
        beside => format!("{scheme}://{authority}{}/{beside}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    let target: Uri = absolute.parse().ok()?;
    let is_http = matches!(target.scheme_str(), Some("http" | "https"));
    (is_http && target.host().is_some_and(|host| !host.is_empty())).then_some(target)
}

/// Whether an address is of the endpoint's origin (scheme, host and port), or is its encrypted counterpart.
pub(crate) fn may_see_token(endpoint: &Uri, address: &Uri) -> bool {
    let same_host = match (endpoint.host(), address.host()) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        _ => false,
    };
    let upgraded = (port(endpoint), port(address)) == (Some(80), Some(443)) && address.scheme() == Some(&Scheme::HTTPS);
    let same = endpoint.scheme() == address.scheme() && port(endpoint) == port(address);
    same_host && (same || upgraded)
}

fn port(address: &Uri) -> Option<u16> {
    address.port_u16().or(match address.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn a_redirect_is_resolved_against_the_address_that_it_comes_from() {
        let at = uri("https://hub.example:8443/a/b/c?x=1");
        let check = |location: &'static str, expected: &str| {
            let found = target(&at, Some(&HeaderValue::from_static(location))).map(|uri| uri.to_string());
            assert_eq!(found.ok().as_deref(), Some(expected), "{location}");
        };
        check("https://cdn.example/x?y=https://z", "https://cdn.example/x?y=https://z");
        check("//cdn.example/x", "https://cdn.example/x");
        check("/api/x?u=http://z/", "https://hub.example:8443/api/x?u=http://z/");
        check("d/e", "https://hub.example:8443/a/b/d/e");
        check("?y=2#part", "https://hub.example:8443/a/b/c?y=2");
        let refused = |location: Option<&'static str>, words: &str| {
            let text = target(&at, location.map(HeaderValue::from_static).as_ref()).unwrap_err().to_string();
            assert!(text.contains(words), "{location:?}: {text}");
        };
        refused(None, "without an address");
        refused(Some("http://hub.example:8443/x"), "not encrypted");
        for location in ["ftp://x/y", "file:///etc/passwd", "https://", "https://a b/"] {
            refused(Some(location), "no http address");
        }
    }

    #[test]
    fn the_token_is_for_the_endpoints_origin() {
        let check = |endpoint: &str, address: &str, expected: bool| {
            assert_eq!(may_see_token(&uri(endpoint), &uri(address)), expected, "{endpoint} {address}");
        };
        check("https://huggingface.co", "https://HuggingFace.co:443/api/x", true);
        check("http://huggingface.co", "https://huggingface.co/x", true);
        check("https://huggingface.co", "http://huggingface.co/x", false);
        check("https://huggingface.co", "https://huggingface.co:8443/x", false);
        check("https://huggingface.co", "https://huggingface.co.evil.example/x", false);
        check("https://huggingface.co", "https://huggingface.co@evil.example/x", false);
        check("http://127.0.0.1:8001", "http://127.0.0.1:8002/x", false);
        check("http://127.0.0.1:8001", "http://localhost:8001/x", false);
        check("http://127.0.0.1:8001", "https://127.0.0.1/x", false);
    }
}
