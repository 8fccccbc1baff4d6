//! Tests of the server over HTTP, with a classifier that tells dark from bright.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use image::{DynamicImage, GenericImageView as _, ImageFormat, Luma};
use tallow_serve::{Classifier, Options, Prediction, serve};
use tokio::sync::oneshot;

/// Classifies an image by its first pixel. With a gate, it signals that it has begun and waits before it answers.
struct Brightness {
    classes: Vec<String>,
    gate: Option<(Sender<()>, Receiver<()>)>,
}

impl Classifier for Brightness {
    fn name(&self) -> String {
        "brightness".to_owned()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn probabilities(&self, pictures: &[DynamicImage]) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        // The server's own test image has this width.
        if let Some((begun, go)) = self.gate.as_ref().filter(|_| pictures[0].width() != 64) {
            begun.send(())?;
            go.recv()?;
        }
        let bright = pictures.iter().map(|picture| f32::from(picture.get_pixel(0, 0).0[0]) / 255.0);
        Ok(bright.flat_map(|bright| [1.0 - bright, bright]).collect())
    }
}

struct Running {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: JoinHandle<tallow_serve::Result<()>>,
}

impl Running {
    fn start(options: Options, gate: Option<(Sender<()>, Receiver<()>)>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let classifier = Brightness { classes: ["dark", "bright"].map(str::to_owned).to_vec(), gate };
            serve(&classifier, listener, &options, async { stopped.await.unwrap_or_default() })
        });
        Ok(Running { addr, stop: Some(stop), thread })
    }

    fn stop(mut self) -> Result<()> {
        self.stop.take().context("running")?.send(()).map_err(|()| anyhow!("it had ended"))?;
        Ok(self.thread.join().map_err(|_| anyhow!("it panicked"))??)
    }

    fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut answer = agent().get(format!("http://{}{path}", self.addr)).call()?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    fn post(&self, query: &str, kind: &str, body: &[u8]) -> Result<(u16, String)> {
        post(self.addr, query, kind, body)
    }

    fn refused(&self, query: &str, kind: &str, body: &[u8], status: u16, words: &str) -> Result<()> {
        let (found, text) = self.post(query, kind, body)?;
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        let error = answer["error"].as_str().with_context(|| format!("no error: {text}"))?;
        ensure!(found == status && error.contains(words), "expected {status} and {words:?}, found {found}: {error}");
        Ok(())
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn post(addr: SocketAddr, query: &str, kind: &str, body: &[u8]) -> Result<(u16, String)> {
    let request = agent().post(format!("http://{addr}/predict{query}")).header("content-type", kind);
    let mut answer = request.send(body)?;
    Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
}

fn picture(brightness: u8) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = DynamicImage::from(image::GrayImage::from_pixel(8, 8, Luma([brightness])));
    picture.write_to(&mut png, ImageFormat::Png).expect("a PNG");
    png.into_inner()
}

fn form(pictures: &[(&str, Vec<u8>)]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, picture) in pictures {
        let head = format!("--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n");
        body.extend([head.as_bytes(), picture, b"\r\n"].concat());
    }
    body.extend(b"--x--\r\n");
    ("multipart/form-data; boundary=x".to_owned(), body)
}

fn top(prediction: &Prediction) -> (&str, &str) {
    (&prediction.image, &prediction.classes[0].label)
}

#[test]
fn the_body_is_an_image_or_a_form_with_several() -> Result<()> {
    let server = Running::start(Options::default(), None)?;
    let (status, text) = server.post("", "application/x-www-form-urlencoded", &picture(204))?;
    let one: Vec<Prediction> = serde_json::from_str(&text)?;
    ensure!(status == 200 && one.len() == 1 && one[0].classes.len() == 2, "{text}");
    ensure!(top(&one[0]) == ("image", "bright") && (one[0].classes[0].probability - 0.8).abs() < 1e-6, "{text}");

    let (kind, body) = form(&[("a.png", picture(9)), ("b.png", picture(250)), ("c.png", picture(3))]);
    let (_, text) = server.post("?topk=1", &kind, &body)?;
    let several: Vec<Prediction> = serde_json::from_str(&text)?;
    let tops: Vec<(&str, &str)> = several.iter().map(top).collect();
    ensure!(tops == [("a.png", "dark"), ("b.png", "bright"), ("c.png", "dark")], "{text}");
    ensure!(several.iter().all(|prediction| prediction.classes.len() == 1), "{text}");

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
    server.refused("", "image/png", &vec![0; (1 << 20) + 1], 413, "exceeds the limit of 1 MB")?;
    server.refused("?topk=many", "image/png", &picture(5), 400, "topk")?;
    server.refused("?top=3", "image/png", &picture(5), 400, "expected `topk`")?;
    let (kind, body) = form(&[("good.png", picture(5)), ("bad.png", b"GIF89a".to_vec())]);
    server.refused("", &kind, &body, 400, "bad.png: expected an image")?;
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
fn requests_above_the_limit_are_rejected_and_those_in_progress_are_finished_at_the_end() -> Result<()> {
    let ((begun, has_begun), (go, may_go)) = (channel(), channel());
    let options = Options { max_requests: 1, ..Options::default() };
    let server = Running::start(options, Some((begun, may_go)))?;
    let addr = server.addr;
    let first = std::thread::spawn(move || post(addr, "", "image/png", &picture(204)));
    has_begun.recv()?;
    let second = agent().post(format!("http://{addr}/predict")).send(&picture(5))?;
    ensure!(second.status() == 503 && second.headers().contains_key("retry-after"), "{second:?}");

    let stopping = std::thread::spawn(move || server.stop());
    // A stopping server accepts no connections.
    while TcpStream::connect(addr).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    go.send(())?;
    let (status, text) = first.join().map_err(|_| anyhow!("panicked"))??;
    ensure!(status == 200 && text.contains("bright"), "{status}: {text}");
    stopping.join().map_err(|_| anyhow!("panicked"))?
}

#[test]
fn requests_that_do_not_arrive_time_out() -> Result<()> {
    let options = Options { body_timeout: Duration::from_millis(30), ..Options::default() };
    let server = Running::start(options, None)?;
    let mut stream = TcpStream::connect(server.addr)?;
    stream.write_all(b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\nconnection: close\r\n\r\nhalf")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    ensure!(text.starts_with("HTTP/1.1 408") && text.contains("within 30ms"), "{text}");
    server.stop()?;

    let options = Options { head_timeout: Duration::from_millis(30), ..Options::default() };
    let server = Running::start(options, None)?;
    let mut stream = TcpStream::connect(server.addr)?;
    stream.write_all(b"POST /predict HTTP/1.1\r\nhost:")?;
    // The connection is closed, with or without a response.
    let _ = stream.read_to_string(&mut text);
    server.stop()
}
