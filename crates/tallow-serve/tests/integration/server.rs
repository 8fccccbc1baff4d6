//! The routes: what they take, what they answer, and what they refuse.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Result, ensure};
use tallow_serve::{Options, Prediction, Row};

use crate::support::{Running, form, picture};

fn top(row: &Row) -> (&str, &str) {
    match row {
        Row::Classified(prediction) => (&prediction.image, &prediction.classes[0].label),
        Row::Failed(failed) => (&failed.image, &failed.error),
    }
}

#[test]
fn the_body_is_an_image_or_a_form_with_several() -> Result<()> {
    let server = Running::start(Options::default(), None)?;
    let (status, text) = server.post("", "application/x-www-form-urlencoded", &picture(204))?;
    let one: Vec<Prediction> = serde_json::from_str(&text)?;
    ensure!(status == 200 && one.len() == 1 && one[0].classes.len() == 2, "{text}");
    ensure!((&*one[0].image, &*one[0].classes[0].label) == ("image", "bright"), "{text}");
    ensure!((one[0].classes[0].probability - 0.8).abs() < 1e-6, "{text}");

    let (kind, body) = form(&[("a.png", picture(9)), ("b.png", picture(250)), ("c.png", picture(3))]);
    let (_, text) = server.post("?topk=1", &kind, &body)?;
    let several: Vec<Row> = serde_json::from_str(&text)?;
    let tops: Vec<(&str, &str)> = several.iter().map(top).collect();
    ensure!(tops == [("a.png", "dark"), ("b.png", "bright"), ("c.png", "dark")], "{text}");
    ensure!(!text.contains("error") && text.matches("probability").count() == 3, "{text}");

    ensure!(server.get("/health")? == (200, "ok".to_owned()));
    let (_, model) = server.get("/model")?;
    ensure!(model == r#"{"name":"brightness","classes":["dark","bright"]}"#, "{model}");
    let (_, page) = server.get("/")?;
    ensure!(page.starts_with("<!doctype html>"), "{page}");
    let (_, metrics) = server.get("/metrics")?;
    for line in ["tallow_requests_total{status=\"200\"} 2", "tallow_in_flight 0", "tallow_batch_size_sum 4.0", "# EOF"]
    {
        ensure!(metrics.contains(line), "{line}: {metrics}");
    }
    server.stop()
}

#[test]
fn rejections_name_the_reason() -> Result<()> {
    let options = Options { max_body_bytes: 1 << 20, ..Options::default() };
    let server = Running::start(options, None)?;
    server.refused("", "image/png", b"", 400, "found no body")?;
    server.refused("", "image/png", b"no picture at all", 400, "image: expected an image")?;
    server.refused("", "image/png", &picture(5)[..40], 400, "image: expected an image")?;
    server.refused("", "application/json", b"{}", 415, "found JSON")?;
    // The announced length is refused before the body is sent: sending it would race with the closing of the connection.
    let mut stream = TcpStream::connect(server.addr)?;
    let length = (1 << 20) + 1;
    let head = format!("POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 413") && answer.contains("exceeds the limit of 1 MB"), "{answer}");
    server.refused("?topk=many", "image/png", &picture(5), 400, "topk")?;
    server.refused("?top=3", "image/png", &picture(5), 400, "expected `topk`")?;
    let (kind, body) = form(&[("bad.png", b"GIF89a".to_vec()), ("worse.png", picture(5)[..20].to_vec())]);
    server.refused("", &kind, &body, 400, "bad.png: expected an image")?;
    server.refused("", &kind, &body, 400, "; worse.png: expected an image")?;
    let (kind, body) = form(&[]);
    server.refused("", &kind, &body, 400, "found none")?;
    server.refused("", "multipart/form-data", b"", 400, "boundary")?;
    let (status, text) = server.get("/predict")?;
    ensure!(status == 405 && text.contains("takes POST"), "{status}: {text}");
    let (status, text) = server.get("/favicon.ico")?;
    ensure!(status == 404 && text.contains("no such route"), "{status}: {text}");
    server.stop()
}

#[test]
fn a_bad_image_costs_its_own_answer_alone() -> Result<()> {
    let server = Running::start(Options::default(), None)?;
    let (kind, body) = form(&[("a.png", picture(9)), ("bad.png", b"GIF89a".to_vec()), ("c.png", picture(250))]);
    let (status, text) = server.post("", &kind, &body)?;
    let rows: Vec<Row> = serde_json::from_str(&text)?;
    let tops: Vec<(&str, &str)> = rows.iter().map(top).collect();
    ensure!(status == 200 && tops[0] == ("a.png", "dark") && tops[2] == ("c.png", "bright"), "{status}: {text}");
    ensure!(tops[1].0 == "bad.png" && tops[1].1.starts_with("expected an image as JPEG"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text)?;
    ensure!(json[1].get("classes").is_none() && json[0].get("error").is_none(), "{text}");
    server.stop()
}
