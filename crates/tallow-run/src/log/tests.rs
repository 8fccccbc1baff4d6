//! The logs read back: event files record by record, the summary row by row, the progress lines at every width.

use std::{
    fs,
    io::{self, Cursor, Write},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use image::{DynamicImage, ImageFormat};
use prost::Message;

use super::event::{Event, Kind, SessionStatus, Value, What};
use super::tensorboard::record;
use super::{Error, EventWriter, Progress, StepInfo, SummaryCsv};

/// The records of an event file, every length and checksum verified.
fn events(path: &Path) -> Vec<Event> {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<8>().unwrap();
        let (crc, after) = after.split_first_chunk::<4>().unwrap();
        assert_eq!(unmask(*crc), crc32c::crc32c(length));
        let (data, after) = after.split_at(u64::from_le_bytes(*length) as usize);
        let (crc, after) = after.split_first_chunk::<4>().unwrap();
        assert_eq!(unmask(*crc), crc32c::crc32c(data));
        events.push(Event::decode(data).unwrap());
        rest = after;
    }
    events
}

fn unmask(crc: [u8; 4]) -> u32 {
    u32::from_le_bytes(crc).wrapping_sub(0xa282_ead8).rotate_left(15)
}

/// Step and value of each summary in the file, which must hold one value an event.
fn values(path: &Path) -> Vec<(i64, Value)> {
    let summaries = events(path).into_iter().filter_map(|event| match event.what {
        Some(What::Summary(mut summary)) => Some((event.step, summary.value.swap_remove(0))),
        _ => None,
    });
    summaries.collect()
}

#[test]
fn event_file_begins_with_version_and_start() {
    let dir = tempfile::tempdir().unwrap();
    let writer = EventWriter::create(&dir.path().join("new/folder")).unwrap();
    let name = writer.path().file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("events.out.tfevents."), "{name}");

    let events = events(writer.path());
    assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".to_owned())));
    assert!(events[0].wall_time > 1.7e9);
    assert!(matches!(&events[1].what, Some(What::SessionLog(log)) if log.status == SessionStatus::Start as i32));
    assert_eq!(events.len(), 2);
}

/// The very bytes of TensorBoard's own writer:
///
/// ```python
/// from tensorboard.compat.proto.event_pb2 import Event
/// from tensorboard.summary.writer.record_writer import RecordWriter
/// RecordWriter(f).write(Event(wall_time=1.5, file_version="brain.Event:2").SerializeToString())
/// ```
#[test]
fn record_bytes_are_tensorboards() {
    let version = What::FileVersion("brain.Event:2".to_owned());
    let event = Event { wall_time: 1.5, step: 0, what: Some(version) };
    let hex: String = record(&event.encode_to_vec()).iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c";
    assert_eq!(hex, expected);
}

#[test]
fn scalars_and_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(dir.path()).unwrap();
    writer.scalar("train/loss", 3, 0.25).unwrap();
    writer.scalar("train/loss", 4, f64::NAN).unwrap();
    writer.text("config", 0, "# Überschrift").unwrap();
    writer.flush().unwrap();

    let values = values(writer.path());
    assert_eq!((values[0].0, values[0].1.tag.as_str()), (3, "train/loss"));
    assert_eq!(values[0].1.kind, Some(Kind::SimpleValue(0.25)));
    assert!(matches!(values[1].1.kind, Some(Kind::SimpleValue(value)) if value.is_nan()));
    let metadata = values[2].1.metadata.clone().unwrap();
    assert_eq!(metadata.plugin_data.unwrap().plugin_name, "text");
    let Some(Kind::Tensor(tensor)) = &values[2].1.kind else { panic!("not a tensor: {:?}", values[2]) };
    assert_eq!(tensor.string_val, ["# Überschrift".as_bytes()]);
}

#[test]
fn images_keep_width_height_and_channels() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(dir.path()).unwrap();
    let pictures = [
        (1, DynamicImage::new_luma8(5, 3)),
        (2, DynamicImage::new_luma_a8(5, 3)),
        (3, DynamicImage::new_rgb8(5, 3)),
        (4, DynamicImage::new_rgba8(5, 3)),
        (3, DynamicImage::new_rgb32f(5, 3)), // has no PNG of its own
    ];
    for (_, picture) in &pictures {
        writer.image("grid", 0, picture).unwrap();
    }
    writer.flush().unwrap();
    for ((channels, _), (_, value)) in pictures.iter().zip(values(writer.path())) {
        let Some(Kind::Image(found)) = value.kind else { panic!("not an image: {value:?}") };
        assert_eq!((found.width, found.height, found.colorspace), (5, 3, *channels));
        let png = image::load(Cursor::new(found.encoded_image_string), ImageFormat::Png).unwrap();
        assert_eq!((png.width(), png.height(), i32::from(png.color().channel_count())), (5, 3, *channels));
    }
    let empty = writer.image("empty", 0, &DynamicImage::new_rgb8(0, 4)).unwrap_err();
    assert!(matches!(&empty, Error::Image { tag, width: 0, height: 4, .. } if tag == "empty"), "{empty}");
}

#[test]
fn histograms_count_every_finite_value() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(dir.path()).unwrap();
    let ramp: Vec<f32> = (0..=300).map(|i| i as f32 / 100.0 - 1.0).collect();
    let cases: [&[f32]; 5] = [&ramp, &[2.5; 4], &[1.0, f32::NAN, f32::INFINITY, 3.0], &[], &[f32::MAX, f32::MIN]];
    for values in cases {
        writer.histogram("weights", 0, values).unwrap();
    }
    writer.flush().unwrap();
    let expected = [(301.0, -1.0, 2.0), (4.0, 2.5, 2.5), (2.0, 1.0, 3.0), (0.0, 0.0, 0.0)];
    let last = (2.0, f32::MIN.into(), f32::MAX.into());
    for ((num, min, max), (_, value)) in expected.into_iter().chain([last]).zip(values(writer.path())) {
        let Some(Kind::Histogram(found)) = value.kind else { panic!("not a histogram: {value:?}") };
        assert_eq!((found.num, found.min, found.max), (num, min, max));
        assert_eq!(found.bucket.iter().sum::<f64>(), num);
        assert_eq!(found.bucket.len(), found.bucket_limit.len());
        assert!(found.bucket_limit.is_sorted() && *found.bucket_limit.last().unwrap() == max);
    }
}

#[test]
fn a_resumed_run_opens_a_file_that_sorts_last_and_names_its_first_step() {
    let dir = tempfile::tempdir().unwrap();
    // As if the clock had been set back since.
    fs::write(dir.path().join("events.out.tfevents.4000000000.host.1"), "").unwrap();
    let mut paths = vec![dir.path().join("events.out.tfevents.4000000000.host.1")];
    for step in [7, 8, 9] {
        let writer = EventWriter::resume(dir.path(), step).unwrap();
        assert_eq!(events(writer.path())[1].step, step as i64);
        paths.push(writer.path().to_owned());
    }
    assert!(paths.is_sorted() && paths.windows(2).all(|pair| pair[0] != pair[1]), "{paths:?}");
}

#[test]
fn an_event_folder_that_is_a_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = EventWriter::create(&file).unwrap_err();
    assert!(matches!(&error, Error::Open { path, .. } if *path == file), "{error}");
}

#[test]
fn summary_has_one_header_and_a_row_an_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("summary.csv");
    fs::write(&path, "an older run\n").unwrap();
    let mut summary = SummaryCsv::create(&path, &["train_loss", "top1"]).unwrap();
    summary.append(0, &[1.5, f64::NAN]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "epoch,train_loss,top1\n0,1.5,\n");
    summary.append(1, &[1e-7, f64::INFINITY]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "epoch,train_loss,top1\n0,1.5,\n1,0.0000001,inf\n");
    assert!(matches!(summary.append(2, &[1.0]), Err(Error::Values { expected: 2, found: 1, .. })));
    assert!(matches!(SummaryCsv::create(&path, &["a,b"]), Err(Error::ColumnName { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a temporary file was left");
}

#[test]
fn summary_resumes_without_the_rows_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("summary.csv");
    let resumed = |before: &str, epoch| {
        fs::write(&path, before).unwrap();
        SummaryCsv::resume(&path, &["loss", "top1"], epoch)?.append(epoch, &[0.5, 0.75])?;
        Ok::<_, Error>(fs::read_to_string(&path).unwrap())
    };
    let three = "epoch,loss,top1\n0,3,\n1,2,0.5\n2,1,inf\n";
    assert_eq!(resumed(three, 2).unwrap(), "epoch,loss,top1\n0,3,\n1,2,0.5\n2,0.5,0.75\n");
    assert_eq!(resumed(three, 0).unwrap(), "epoch,loss,top1\n0,0.5,0.75\n");
    assert_eq!(resumed(three, 3).unwrap(), format!("{three}3,0.5,0.75\n"));
    // A last line without its end was being written when the process died.
    assert_eq!(resumed("epoch,loss,top1\n0,3,1\n1,2,0.", 2).unwrap(), "epoch,loss,top1\n0,3,1\n2,0.5,0.75\n");
    assert_eq!(resumed("", 1).unwrap(), "epoch,loss,top1\n1,0.5,0.75\n");

    for broken in ["x,1,2", "1,2", "1,2,3,4", "1,two,3", "\n1,2,3"] {
        let before = format!("epoch,loss,top1\n0,3,1\n{broken}\n");
        assert!(matches!(resumed(&before, 1), Err(Error::Row { line: 3, values: 2, .. })), "{broken:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), before, "a file that is refused stays as it is");
    }
    let error = resumed("epoch,loss\n0,1\n", 1).unwrap_err();
    assert!(matches!(&error, Error::Header { found, .. } if found == "epoch,loss"), "{error}");

    fs::remove_file(&path).unwrap();
    SummaryCsv::resume(&path, &["loss"], 4).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "epoch,loss\n");
    let missing = dir.path().join("missing/summary.csv");
    assert!(matches!(SummaryCsv::create(&missing, &[]), Err(Error::Write { .. })));
}

/// A writer whose text the test can see.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

const INFO: StepInfo = StepInfo { loss: 0.43214, accuracy: 0.8725, lr: 0.01234, images_per_s: 512.4 };

#[test]
fn progress_lines_without_a_terminal() {
    let out = Shared::default();
    let mut progress = Progress::lines(Box::new(out.clone()), Duration::ZERO);
    progress.start_epoch(2, 8, 312);
    progress.step(45, &StepInfo { lr: 1e-5, ..INFO });
    progress.finish_epoch("epoch 3/8  done");
    let text = out.text();
    assert!(text.starts_with("epoch 3/8  45/312  loss 0.4321  acc 87.2%  lr 1.0e-5  512 img/s  0:0"), "{text}");
    assert!(text.ends_with(" left\nepoch 3/8  done\n"), "{text}");
}

#[test]
fn progress_lines_keep_their_distance() {
    let out = Shared::default();
    let mut progress = Progress::lines(Box::new(out.clone()), Duration::from_secs(3600));
    progress.start_epoch(0, 1, 1000);
    (1..=1000).for_each(|done| progress.step(done, &INFO));
    progress.finish_epoch("the only line");
    assert_eq!(out.text(), "the only line\n");
}

#[test]
fn progress_takes_any_numbers_and_a_closed_pipe() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let info = StepInfo { loss: f64::NAN, accuracy: f64::NAN, lr: f64::INFINITY, images_per_s: -1.0 };
    let mut progress = Progress::lines(Box::new(Closed), Duration::ZERO);
    progress.step(1, &info); // no epoch was started
    for (epoch, epochs, steps, done) in [(0, 0, 0, 0), (u64::MAX, u64::MAX, u64::MAX, u64::MAX), (5, 2, 3, 9)] {
        progress.start_epoch(epoch, epochs, steps);
        progress.step(done, &info);
        progress.finish_epoch("");
    }
}
