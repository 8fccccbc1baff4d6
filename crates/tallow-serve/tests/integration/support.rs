//! A running server with a classifier that tells dark from bright, and requests to it.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow, ensure};
use image::{DynamicImage, GenericImageView as _, ImageFormat, Luma};
use tallow_serve::{Classify, Options, serve};
use tokio::sync::oneshot;

/// Classifies an image by its first pixel. With a gate, it signals that it has begun and waits before it answers.
struct Brightness {
    classes: Vec<String>,
    gate: Option<(Sender<()>, Receiver<()>)>,
}

impl Classify for Brightness {
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

pub struct Running {
    pub addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: JoinHandle<tallow_serve::Result<()>>,
}

impl Running {
    pub fn start(options: Options, gate: Option<(Sender<()>, Receiver<()>)>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let classifier = Brightness { classes: ["dark", "bright"].map(str::to_owned).to_vec(), gate };
            serve(&classifier, listener, &options, async { stopped.await.unwrap_or_default() })
        });
        Ok(Running { addr, stop: Some(stop), thread })
    }

    pub fn stop(mut self) -> Result<()> {
        // It may have ended by itself, with an error.
        let _ = self.stop.take().context("running")?.send(());
        Ok(self.thread.join().map_err(|_| anyhow!("it panicked"))??)
    }

    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut answer = agent().get(format!("http://{}{path}", self.addr)).call()?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    pub fn post(&self, query: &str, kind: &str, body: &[u8]) -> Result<(u16, String)> {
        post(self.addr, query, kind, body)
    }

    pub fn refused(&self, query: &str, kind: &str, body: &[u8], status: u16, words: &str) -> Result<()> {
        let (found, text) = self.post(query, kind, body)?;
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        let error = answer["error"].as_str().with_context(|| format!("no error: {text}"))?;
        ensure!(found == status && error.contains(words), "expected {status} and {words:?}, found {found}: {error}");
        Ok(())
    }
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

pub fn post(addr: SocketAddr, query: &str, kind: &str, body: &[u8]) -> Result<(u16, String)> {
    let request = agent().post(format!("http://{addr}/predict{query}")).header("content-type", kind);
    let mut answer = request.send(body)?;
    Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
}

pub fn picture(brightness: u8) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = DynamicImage::from(image::GrayImage::from_pixel(8, 8, Luma([brightness])));
    picture.write_to(&mut png, ImageFormat::Png).expect("a PNG");
    png.into_inner()
}

pub fn form(pictures: &[(&str, Vec<u8>)]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, picture) in pictures {
        let head = format!("--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n");
        body.extend([head.as_bytes(), picture, b"\r\n"].concat());
    }
    body.extend(b"--x--\r\n");
    ("multipart/form-data; boundary=x".to_owned(), body)
}
