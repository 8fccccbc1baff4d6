//! Which web pages may use the server.

use anyhow::{Context as _, Result, ensure};
use tallow_serve::{Error, Options};
use ureq::http::Response;

use crate::support::{Running, agent, picture};

const APP: &str = "https://app.example";

fn send(server: &Running, method: &str, headers: &[(&str, &str)]) -> Result<Response<ureq::Body>> {
    let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}/predict", server.addr));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(match method {
        "POST" => agent().run(request.body(picture(204))?)?,
        _ => agent().run(request.body(())?)?,
    })
}

#[test]
fn requests_for_other_names_and_posts_of_other_sites_are_refused() -> Result<()> {
    let server = Running::start(Options::default(), None)?;
    for (headers, status, words) in [
        (vec![], 200, "bright"),
        (vec![("host", "localhost:1234")], 200, "bright"),
        (vec![("host", "evil.example")], 421, "found the host evil.example"),
        (vec![("origin", APP)], 403, APP),
        (vec![("sec-fetch-site", "cross-site"), ("origin", APP)], 403, APP),
        (vec![("sec-fetch-site", "same-origin"), ("origin", APP)], 200, "bright"),
    ] {
        let mut response = send(&server, "POST", &headers)?;
        let text = response.body_mut().read_to_string()?;
        ensure!(response.status() == status && text.contains(words), "{headers:?}: {} {text}", response.status());
        ensure!(!response.headers().contains_key("access-control-allow-origin"), "{headers:?}");
    }
    server.stop()
}

#[test]
fn pages_of_allowed_origins_may_post_and_read() -> Result<()> {
    let hosts = vec!["cats.example".to_owned()];
    let server = Running::start(Options { cors: vec![APP.into()], hosts, ..Options::default() }, None)?;
    let headers = [("origin", APP), ("sec-fetch-site", "cross-site"), ("host", "cats.example")];
    let response = send(&server, "POST", &headers)?;
    ensure!(response.status() == 200);
    let allowed = response.headers().get("access-control-allow-origin").context("no permission to read")?;
    ensure!(allowed == APP, "{allowed:?}");
    let asked = [("origin", APP), ("access-control-request-method", "POST")];
    let preflight = send(&server, "OPTIONS", &asked)?;
    ensure!(preflight.status() == 200, "{preflight:?}");
    ensure!(preflight.headers().get("access-control-allow-origin").is_some_and(|origin| origin == APP));
    ensure!(send(&server, "POST", &[("origin", "https://evil.example")])?.status() == 403);
    server.stop()?;

    let refused = Running::start(Options { cors: vec!["app.example/x".into()], ..Options::default() }, None)?.stop();
    let error = refused.err().context("it started")?;
    ensure!(matches!(error.downcast_ref(), Some(Error::Origin(text)) if text == "app.example/x"), "{error}");
    Ok(())
}
