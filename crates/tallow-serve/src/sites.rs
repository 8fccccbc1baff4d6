//! Which web pages may use the server: the check of the header `Host` against DNS rebinding, and of cross-site posts.
//!
//! A browser sends requests to `127.0.0.1` for any page. A page can send a form to another site, though not read the
//! response; and it can point its own name at the address of this server, which makes the server part of its site.

use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::error::{Error, Result};
use crate::options::Options;
use crate::rejection::Rejection;
use crate::service::Service;

/// Ends of names that no one can register: they stand for machines of a local network.
const LOCAL_ENDS: [&str; 3] = [".localhost", ".local", ".internal"];
const ANY: &str = "*";

/// Rejects requests for other names than the server's, and by pages of other sites.
pub(crate) async fn guard(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    match check(&service.options, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(rejection) => rejection.into_response(),
    }
}

fn check(options: &Options, method: &Method, uri: &Uri, headers: &HeaderMap) -> std::result::Result<(), Rejection> {
    let host = host(uri, headers)?;
    if let Some(host) = host.as_ref().filter(|host| !is_own_name(host.host(), &options.hosts)) {
        let expected = "expected an IP address, localhost, or a name that the server was started with";
        let found = host.host();
        return Err(Rejection::new(StatusCode::MISDIRECTED_REQUEST, format!("{expected}; found the host {found}")));
    }
    if method.is_safe() || !is_cross_site(host.as_ref(), headers, &options.cors) {
        return Ok(());
    }
    let origin = text(headers, &header::ORIGIN).unwrap_or("another site");
    let reason =
        format!("a web page of {origin} may not send requests to this server; it must be started with this origin");
    Err(Rejection::new(StatusCode::FORBIDDEN, reason))
}

/// The name or address that the request is for. Programs other than browsers may leave it out.
fn host(uri: &Uri, headers: &HeaderMap) -> std::result::Result<Option<Authority>, Rejection> {
    let bad = || Rejection::new(StatusCode::BAD_REQUEST, "expected one header Host with a name or an address");
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(bad());
    }
    let first = first.filter(|host| !host.is_empty());
    let named = first.map(|host| Authority::try_from(host.as_bytes()).map_err(|_| bad())).transpose()?;
    // A request for a whole address overrides the header (RFC 9112, section 3.2.2).
    Ok(uri.authority().cloned().or(named))
}

fn is_own_name(host: &str, names: &[String]) -> bool {
    let host = host.to_ascii_lowercase();
    let is_address = IpAddr::from_str(host.trim_start_matches('[').trim_end_matches(']')).is_ok();
    let is_local = !host.contains('.') || LOCAL_ENDS.iter().any(|end| host.ends_with(end));
    is_address || is_local || names.iter().any(|name| name == ANY || name.eq_ignore_ascii_case(&host))
}

/// Whether a page of another site sends the request. Browsers say so in `Sec-Fetch-Site`; older ones, and all of them
/// over unencrypted connections between machines, in `Origin` alone.
fn is_cross_site(host: Option<&Authority>, headers: &HeaderMap, allowed: &[String]) -> bool {
    let origin = text(headers, &header::ORIGIN);
    if origin.is_some_and(|origin| allowed.iter().any(|allowed| allowed == ANY || allowed == origin)) {
        return false;
    }
    if headers.get("sec-fetch-site").is_some() {
        let site = text(headers, &HeaderName::from_static("sec-fetch-site"));
        return !matches!(site, Some("same-origin" | "none"));
    }
    match headers.get(header::ORIGIN) {
        None => false,
        Some(_) => {
            let of_page = origin.and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
            !of_page.zip(host).is_some_and(|(page, host)| page.eq_ignore_ascii_case(host.as_str()))
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The layer that lets pages of these origins read responses.
///
/// # Errors
/// A text that is not an origin.
pub(crate) fn cors(origins: &[String]) -> Result<CorsLayer> {
    let origin = |text: &String| {
        let uri = Uri::from_str(text).ok();
        let is_origin = uri.is_some_and(|uri| uri.scheme().is_some() && uri.host().is_some()) && !ends_with_path(text);
        HeaderValue::from_str(text).ok().filter(|_| is_origin).ok_or_else(|| Error::Origin(text.clone()))
    };
    let layer = CorsLayer::new().allow_methods([Method::GET, Method::POST]).allow_headers([header::CONTENT_TYPE]);
    if origins.iter().any(|origin| origin == ANY) {
        return Ok(layer.allow_origin(Any));
    }
    Ok(layer.allow_origin(AllowOrigin::list(origins.iter().map(origin).collect::<Result<Vec<_>>>()?)))
}

fn ends_with_path(origin: &str) -> bool {
    origin.split_once("://").is_none_or(|(_, authority)| authority.contains(['/', '?', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(options: &Options, method: Method, headers: &[(&'static str, &'static str)]) -> Option<u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let checked = check(options, &method, &Uri::from_static("/predict"), &map);
        checked.err().map(|rejection| rejection.into_response().status().as_u16())
    }

    #[test]
    fn a_request_must_be_for_the_server() {
        let named = Options { hosts: vec!["cats.example.org".into()], ..Options::default() };
        for (host, expected) in [
            ("127.0.0.1:8000", None),
            ("[::1]:8000", None),
            ("192.168.1.7", None),
            ("localhost:9000", None),
            ("Tallow:8000", None),
            ("box.local", None),
            ("Cats.example.org", None),
            ("evil.example:8000", Some(421)),
            ("127.0.0.1.evil.example", Some(421)),
            ("evil.example.", Some(421)),
            ("localhost.evil.example", Some(421)),
            ("a b", Some(400)),
        ] {
            assert_eq!(status(&named, Method::GET, &[("host", host)]), expected, "{host}");
        }
        assert_eq!(status(&named, Method::GET, &[]), None);
        assert_eq!(status(&named, Method::GET, &[("host", "localhost"), ("host", "localhost")]), Some(400));
        let any = Options { hosts: vec!["*".into()], ..Options::default() };
        assert_eq!(status(&any, Method::GET, &[("host", "evil.example")]), None);
    }

    #[test]
    fn a_page_of_another_site_may_not_post() {
        let options = Options { cors: vec!["https://app.example".into()], ..Options::default() };
        let host = ("host", "127.0.0.1:8000");
        let fetch = |site| ("sec-fetch-site", site);
        let origin = |origin| ("origin", origin);
        for (headers, expected) in [
            (vec![], None),
            (vec![fetch("none")], None),
            (vec![fetch("same-origin"), origin("http://other.example")], None),
            (vec![fetch("same-site"), origin("http://127.0.0.1:9000")], Some(403)),
            (vec![fetch("cross-site"), origin("https://evil.example")], Some(403)),
            (vec![fetch("cross-site")], Some(403)),
            (vec![fetch("cross-site"), origin("https://app.example")], None),
            (vec![origin("http://127.0.0.1:8000")], None),
            (vec![origin("http://127.0.0.1:9000")], Some(403)),
            (vec![origin("null")], Some(403)),
            (vec![origin("https://app.example")], None),
            (vec![origin("https://app.example.evil.example")], Some(403)),
        ] {
            let headers: Vec<_> = std::iter::once(host).chain(headers).collect();
            assert_eq!(status(&options, Method::POST, &headers), expected, "{headers:?}");
            assert_eq!(status(&options, Method::GET, &headers), None, "{headers:?}");
        }
        let all = Options { cors: vec!["*".into()], ..Options::default() };
        assert_eq!(status(&all, Method::POST, &[host, origin("https://evil.example")]), None);
    }

    #[test]
    fn an_origin_has_a_scheme_and_no_path() {
        for text in ["https://a.example", "http://127.0.0.1:3000", "*"] {
            assert!(cors(&[text.into()]).is_ok(), "{text}");
        }
        for text in ["a.example", "https://a.example/", "https://", "", "null"] {
            assert!(cors(&[text.into()]).is_err(), "{text}");
        }
    }
}
