//! `tallow serve` as its user runs it: it says of a picture what `predict` says, and ends at a signal.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

fn tallow(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallow"));
    command.current_dir(folder).args(args);
    command
}

#[test]
fn a_served_run_says_what_predict_says() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path();
    let train = ["train", "--quiet", "--model", "small_cnn", "--set", "train.epochs=1", "--set", "model.width=4"];
    let trained = tallow(folder, &train).args(["--out", "a"]).output()?;
    ensure!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let picture = image::GrayImage::from_fn(28, 28, |x, y| image::Luma([(9 * x + y) as u8]));
    picture.save(folder.join("x.png"))?;
    image::imageops::flip_horizontal(&picture).save(folder.join("mirrored.png"))?;
    let predict = |image: &str, tta: &str| -> Result<serde_json::Value> {
        let output = tallow(folder, &["predict", "a", image, "--tta", tta, "--format", "json"]).output()?;
        let mut said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(said[0]["classes"].take())
    };
    let predicted = predict("x.png", "none")?;
    let first = |classes: &serde_json::Value| classes[0]["probability"].as_f64().unwrap_or_default();
    ensure!((first(&predicted) - first(&predict("mirrored.png", "none")?)).abs() > 1e-3, "{predicted}");
    let both = predict("x.png", "hflip")?;
    ensure!((first(&both) - first(&predict("mirrored.png", "hflip")?)).abs() < 1e-5, "{both}");

    let serve = ["serve", "a", "--tta", "none", "--addr", "127.0.0.1:0", "--host", "cats.example.org"];
    let mut server = tallow(folder, &serve).stdout(Stdio::piped()).spawn()?;
    let mut printed = BufReader::new(server.stdout.take().context("stdout")?);
    let mut line = String::new();
    printed.read_line(&mut line)?;
    let at = line.split(" at ").nth(1).and_then(|rest| rest.split(',').next()).with_context(|| line.clone())?;
    let answer = ureq::post(format!("{at}/predict")).send(&std::fs::read(folder.join("x.png"))?[..]);
    let host = |name: &str| {
        let request = ureq::get(format!("{at}/health")).header("host", name).config().http_status_as_error(false);
        Ok::<u16, ureq::Error>(request.build().call()?.status().as_u16())
    };
    let statuses = [host("cats.example.org")?, host("dogs.example.org")?];
    #[cfg(target_os = "linux")]
    let memory = memory_of_a_burst(at.trim_start_matches("http://"), server.id());
    ensure!(Command::new("kill").arg(server.id().to_string()).status()?.success());
    let mut rest = String::new();
    printed.read_to_string(&mut rest)?;
    ensure!(server.wait()?.success() && rest == "stopped\n", "{rest}");

    ensure!(statuses == [200, 421], "{statuses:?}");
    #[cfg(target_os = "linux")]
    {
        let (taken, kept) = memory?;
        ensure!(taken > 60 && kept < taken / 2, "{taken} MB taken, {kept} MB kept");
    }
    let served: serde_json::Value = serde_json::from_str(&answer?.body_mut().read_to_string()?)?;
    ensure!(served[0]["classes"] == predicted, "{served} {predicted}");
    Ok(())
}

/// The memory that a server takes while large bodies arrive, and what it keeps of it some seconds after they ended, in MB.
#[cfg(target_os = "linux")]
fn memory_of_a_burst(address: &str, process: u32) -> Result<(u64, u64)> {
    use std::io::Write as _;
    use std::time::Duration;

    const BODY: usize = 25 << 20;
    let megabytes = |key: &str| -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| key.to_owned())?;
        Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>()? / 1024)
    };
    let before = megabytes("VmRSS:")?;
    let unfinished = || -> std::io::Result<std::net::TcpStream> {
        let mut stream = std::net::TcpStream::connect(address)?;
        write!(stream, "POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: {BODY}\r\n\r\n")?;
        stream.write_all(&vec![0; BODY - 1])?;
        Ok(stream)
    };
    // On a busy machine the server may end some as too slow.
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..7).map(|_| scope.spawn(unfinished)).collect();
        threads.into_iter().for_each(|thread| drop(thread.join()));
    });
    let taken = megabytes("VmHWM:")?.saturating_sub(before);
    let kept = || Ok::<u64, anyhow::Error>(megabytes("VmRSS:")?.saturating_sub(before));
    for _ in 0..40 {
        if kept()? < taken / 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok((taken, kept()?))
}
