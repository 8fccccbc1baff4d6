//! Files that PyTorch wrote (fixtures/scripts/pickles.py), and damaged ones.

use std::io::Write as _;
use std::path::PathBuf;

use candle_core::{DType, Tensor};

use super::*;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pickles").join(name)
}

fn refused(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("writing");
    StateDict::read(file.path()).map(|state| format!("{state:?}")).unwrap_err().to_string()
}

#[test]
fn every_layout_of_torch_save_gives_the_same_tensors() {
    for name in ["zip.pth", "legacy.pth", "protocol4.pt", "training.pth", "training_legacy.pth", "attack.pth"] {
        let state = StateDict::read(&fixture(name)).expect(name);
        let names: Vec<&str> = state.names().collect();
        let expected = ["weight", "tail", "transposed", "half", "bfloat", "double", "empty"];
        assert_eq!(names, expected, "{name}: the names in the state dict's order, without wrappers' prefixes");
        let shapes: Vec<&[usize]> = state.entries.iter().map(Entry::shape).collect();
        assert_eq!(shapes, [&[3, 4][..], &[2], &[4, 2, 3], &[2], &[2], &[1], &[0, 3]], "{name}");
        let values = |i: usize| -> Vec<f32> {
            let tensor = state.tensor(&state.entries[i]).expect(name);
            tensor.flatten_all().and_then(|tensor| tensor.to_vec1()).expect(name)
        };
        assert_eq!(values(0), (0..12).map(|i| i as f32 / 2.0).collect::<Vec<_>>(), "{name}");
        assert_eq!(values(1), [3.0, 5.0], "{name}: a view within a storage");
        assert_eq!(values(2)[..7], [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0], "{name}: a permuted view");
        assert_eq!((values(3), values(4), values(5)), (vec![0.5, -2.0], vec![1.5, -3.0], vec![0.25]), "{name}");
        assert_eq!(state.key.as_deref(), name.starts_with("training").then_some("state_dict_ema"), "{name}");
    }
    assert!(!std::path::Path::new("/tmp/tallow-was-here").exists(), "the pickle's code was run");
}

#[test]
fn what_is_no_state_dict_is_said() {
    for (name, found) in [
        ("whole_model.pth", "a Python object of __main__.Whole"),
        ("no_tensors.pth", "a dict without tensors (`epoch`: the number 3)"),
        ("plain.pkl", "a plain pickle"),
    ] {
        let message = StateDict::read(&fixture(name)).unwrap_err().to_string();
        assert!(message.contains(found) && message.contains("state dict"), "{name}: {message}");
    }
    assert!(refused(b"").contains("is empty"));
    assert!(refused(b"<html>404</html>").contains("web page"));
    assert!(refused(b"version https://git-lfs.github.com/spec/v1\noid").contains("git lfs pull"));
    assert!(refused(b"neither of them").contains("safetensors"));
}

/// No damage may end in a panic or a huge allocation: files cut off, and bytes changed, everywhere.
#[test]
fn damaged_files_are_errors() {
    for name in ["zip.pth", "legacy.pth", "training_legacy.pth"] {
        let whole = std::fs::read(fixture(name)).expect(name);
        for len in (0..whole.len()).step_by(5) {
            // An archive's directory stands at its end; a legacy file's last tensor is empty.
            assert!(!refused(&whole[..len]).is_empty());
        }
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        for at in (0..whole.len()).step_by(2) {
            let mut changed = whole.clone();
            changed[at] = changed[at].wrapping_add((at % 255) as u8 + 1);
            std::fs::write(file.path(), &changed).expect("writing");
            let _ = StateDict::read(file.path());
        }
    }
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    let view = |offset, size: &[usize], stride: &[usize]| pickle_view(offset, size, stride);
    assert!(view(0, &[2, 2], &[2, 1]).is_ok());
    for (offset, size, stride) in [
        (1, vec![2, 2], vec![2, 1]),
        (usize::MAX, vec![2], vec![1]),
        (0, vec![usize::MAX, 2], vec![1, 1]),
        (0, vec![2, 3], vec![usize::MAX, 1]),
        (0, vec![1 << 40], vec![0]),
        (0, vec![2], vec![1, 1]),
    ] {
        assert!(view(offset, &size, &stride).is_err(), "{offset} {size:?} {stride:?}");
    }
}

fn pickle_view(offset: usize, size: &[usize], stride: &[usize]) -> std::result::Result<Tensor, String> {
    let view = pickle::View { storage: 0, offset, size: size.to_vec(), stride: stride.to_vec() };
    torch_file::gather(&[0; 16], DType::F32, &view)
}

/// An archive of torch.save with this pickle and these storages.
fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let files = storages.iter().map(|(key, bytes)| (format!("a/data/{key}"), *bytes));
    for (name, bytes) in std::iter::once(("a/data.pkl".to_owned(), pickle)).chain(files) {
        zip.start_file(name, options).expect("a file");
        zip.write_all(bytes).expect("its content");
    }
    zip.finish().expect("an archive").into_inner()
}

/// A text of the pickle.
fn text(value: &str) -> Vec<u8> {
    [&b"X"[..], &(value.len() as u32).to_le_bytes()[..], value.as_bytes()].concat()
}

/// A storage of 4 numbers under the key `0`, put aside as 0; `shape` as a tuple of small numbers.
fn storage() -> Vec<u8> {
    [&b"\x80\x02("[..], &text("storage")[..], b"ctorch\nFloatStorage\n", &text("0"), &text("cpu"), b"K\x04tQq\x00"]
        .concat()
}

fn tuple(values: &[u8]) -> Vec<u8> {
    [&b"("[..], &values.iter().flat_map(|value| [b'K', *value]).collect::<Vec<u8>>()[..], b"t"].concat()
}

/// The largest memory of this process so far, in MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// 500 kB that repeat a text, a shape or a list of 250 kB a hundred thousand times: memory grows with the file, not with
/// what it repeats.
#[test]
fn repetition_takes_no_memory() {
    let long = text(&"a".repeat(200_000));
    let names = [&b"\x80\x04"[..], &long[..], b"q\x00", &b"h\x00h\x00\x93".repeat(50_000), b"."].concat();
    let shape = tuple(&[1; 100_000]);
    let tensor = b"ctorch._utils\n_rebuild_tensor_v2\n";
    let shapes =
        [&storage()[..], tensor, b"q\x02(h\x00K\x00", &shape, &shape, b"tq\x03", &b"h\x02h\x03R".repeat(60_000), b"."];
    let parameter = b"ctorch._utils\n_rebuild_parameter\n";
    let lists = [&b"\x80\x02"[..], &parameter[..], b"q\x02(", &shape, b"tq\x03", &b"h\x02h\x03R".repeat(60_000), b"."];
    let objects = [&b"\x80\x02"[..], &shape[..], b"q\x03", &b"h\x03h\x03R".repeat(60_000), b"."];
    let entry = [&long[..], b"q\x01h\x02h\x03R"].concat();
    let again = b"h\x01h\x02h\x03R".repeat(40_000);
    let dict =
        [&storage()[..], tensor, b"q\x02(h\x00K\x00", &tuple(&[2]), &tuple(&[1]), b"tq\x03}(", &entry, &again, b"u."];
    for (what, pickle) in [
        ("names", names),
        ("shapes", shapes.concat()),
        ("lists", lists.concat()),
        ("objects", objects.concat()),
        ("entries", dict.concat()),
    ] {
        let message = refused(&archive(&pickle, &[("0", &[0; 16])]));
        assert!(message.len() < 1000, "{what}: {} bytes of message", message.len());
    }
    assert!(peak_mb() < 1500, "{} MB", peak_mb());
}

/// Many tensors on one storage, and many files on one place of the archive.
#[test]
fn overlapping_tensors_are_bounded() {
    let tensor = b"ctorch._utils\n_rebuild_tensor_v2\n";
    let values = vec![0; 400_000];
    let mut pickle = [&storage()[..], tensor, b"q\x02}("].concat();
    for index in 0..2000u32 {
        // 90,000 numbers from another place each time.
        pickle.extend(text(&format!("t{index}")));
        let offset = [&b"J"[..], &index.to_le_bytes()[..]].concat();
        let size = [&b"(J"[..], &90_000u32.to_le_bytes()[..], b"t"].concat();
        pickle.extend([&b"h\x02(h\x00"[..], &offset[..], &size, &tuple(&[1]), b"tR"].concat());
    }
    pickle.extend(b"u.");
    let message = refused(&archive(&pickle, &[("0", &values)]));
    assert!(message.contains("its tensors overlap"), "{message}");
    // A tensor under many names is one.
    let tied = [
        &storage()[..],
        tensor,
        b"(h\x00K\x00",
        &tuple(&[4]),
        &tuple(&[1]),
        b"tRq\x02}(",
        &text("a"),
        b"h\x02",
        &text("b"),
        b"h\x02u.",
    ];
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), archive(&tied.concat(), &[("0", &[0; 16])])).expect("writing");
    assert_eq!(StateDict::read(file.path()).expect("tied weights").names().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn state_dicts_are_found_under_other_keys() {
    let tensor = b"ctorch._utils\n_rebuild_tensor_v2\n";
    let dict = |names: &[&str]| -> Vec<u8> {
        let entries = names.iter().flat_map(|name| [&text(name)[..], b"h\x02"].concat());
        [&b"}("[..], &entries.collect::<Vec<u8>>()[..], b"u"].concat()
    };
    let root = |entries: &[(&str, Vec<u8>)]| -> Vec<u8> {
        let made = [&storage()[..], tensor, b"(h\x00K\x00", &tuple(&[4]), &tuple(&[1]), b"tRq\x02}("].concat();
        let entries = entries.iter().flat_map(|(key, value)| [&text(key)[..], value].concat());
        [&made[..], &entries.collect::<Vec<u8>>(), b"u."].concat()
    };
    let one = b"h\x02".to_vec();
    let net = || dict(&["conv.weight", "conv.bias"]);
    for (entries, key) in [
        (vec![("net", net()), ("acc", one.clone()), ("optimizer", dict(&["a", "b", "c"]))], "net"),
        (vec![("epoch", b"K\x03".to_vec()), ("net", net()), ("net_ema", net())], "net_ema"),
        (vec![("net", net()), ("model", net())], "model"),
        (vec![("checkpoint", [&b"}("[..], &text("weights")[..], &net(), b"u"].concat())], "checkpoint.weights"),
    ] {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), archive(&root(&entries), &[("0", &[0; 16])])).expect("writing");
        let state = StateDict::read(file.path()).expect(key);
        assert_eq!((state.key.as_deref(), state.names().count()), (Some(key), 2));
    }
    let message = refused(&archive(&root(&[("teacher", net()), ("student", net())]), &[("0", &[0; 16])]));
    assert!(message.contains("several state dicts, under teacher and student"), "{message}");
}
