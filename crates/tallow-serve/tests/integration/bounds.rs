//! Limits: requests, memory of bodies, and time.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use tallow_serve::Options;

use crate::support::{Running, agent, form, picture, post};

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

/// A request whose body has `length` bytes, of which `sent` are sent.
fn unfinished(server: &Running, length: usize, sent: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server.addr)?;
    let head = format!("POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    // A refusal may close the connection while the body is sent.
    let _ = stream.write_all(&vec![0; sent]);
    Ok(stream)
}

/// The status of a response.
fn status(mut stream: TcpStream) -> Result<u16> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(std::str::from_utf8(&start)?[9..].parse()?)
}

#[test]
fn slow_bodies_take_no_place_of_others_and_end_early() -> Result<()> {
    let window = Duration::from_millis(500);
    let options = Options { max_requests: 2, body_window: window, ..Options::default() };
    let server = Running::start(options, None)?;
    let began = Instant::now();
    let slow = (0..20).map(|_| unfinished(&server, 1 << 20, 5)).collect::<Result<Vec<_>>>()?;
    for _ in 0..5 {
        let (status, text) = server.post("", "image/png", &picture(204))?;
        ensure!(status == 200, "{status}: {text}");
    }
    for stream in slow {
        ensure!(status(stream)? == 408);
    }
    let took = began.elapsed();
    ensure!(took >= window && took < Options::default().body_timeout / 2, "{took:?}");

    // A body that goes on arriving may take longer than a window.
    let png = picture(204);
    let mut stream = unfinished(&server, 96 << 10, 0)?;
    stream.write_all(&png)?;
    for part in 0..3usize {
        std::thread::sleep(window / 2);
        let sent = if part == 0 { png.len() } else { 0 };
        stream.write_all(&vec![0; (32 << 10) - sent])?;
    }
    ensure!(status(stream)? == 200);
    server.stop()
}

#[test]
fn bodies_share_one_bound_and_small_ones_pass_beside_large_ones() -> Result<()> {
    let options = Options { max_bodies_bytes: 16 << 20, max_body_bytes: 8 << 20, ..Options::default() };
    let server = Running::start(options, None)?;
    // 12 MB are for large bodies: of four unfinished ones of 6 MB, two or three find none left.
    let large = (0..4).map(|_| unfinished(&server, 8 << 20, 6 << 20)).collect::<Result<Vec<_>>>()?;
    std::thread::sleep(Duration::from_millis(300));
    let (found, text) = server.post("", "image/png", &picture(204))?;
    ensure!(found == 200, "{found}: {text}");
    let statuses: Vec<Option<u16>> = large.into_iter().map(|stream| status(stream).ok()).collect();
    ensure!(statuses.contains(&Some(408)), "{statuses:?}");
    // A refused client may see its connection reset before it reads the status.
    let refused = statuses.iter().filter(|status| matches!(status, Some(503) | None)).count();
    ensure!((1..4).contains(&refused), "{statuses:?}");

    // The memory is free again: for the largest body, as an image and in a form.
    let mut image = picture(204);
    image.resize(8 << 20, 0);
    let (found, text) = server.post("", "image/png", &image)?;
    ensure!(found == 200, "{found}: {text}");
    image.truncate(7 << 20);
    let (kind, body) = form(&[("a.png", image), ("b.png", picture(9))]);
    let (found, text) = server.post("?topk=1", &kind, &body)?;
    ensure!(found == 200 && text.contains("bright") && text.contains("dark"), "{found}: {text}");
    server.stop()
}
