//! Files that PyTorch wrote (fixtures/scripts/pickles.py), and damaged ones.

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
        ("no_tensors.pth", "a dict without tensors (`epoch`: Int(3))"),
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
