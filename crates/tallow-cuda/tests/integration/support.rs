//! Values and comparisons for the tests.

use tallow_base::rng::{keyed, uniform};
use tallow_cuda::{Array, Bf16, Device, Plain, Result, Storage};

/// `len` values from −1 to 1 that `T` holds exactly; the same for the same `stream`.
pub fn random<T: Storage>(len: usize, stream: u64) -> Vec<f32> {
    let mut rng = keyed(stream, len as u64, 0, 0);
    (0..len).map(|_| T::from_f32(uniform(&mut rng, -1.0, 1.0) as f32).to_f32()).collect()
}

/// The values on the device, in the storage type.
pub fn put<D: Device, T: Storage>(device: &D, values: &[f32]) -> Result<Array<D::Memory, T>> {
    let stored: Vec<T> = values.iter().map(|value| T::from_f32(*value)).collect();
    Array::upload(device, &stored)
}

/// Room for `len` values.
pub fn room<D: Device, T: Plain>(device: &D, len: usize) -> Result<Array<D::Memory, T>> {
    Array::uninit(device, len)
}

/// The values of an array as f32.
pub fn get<D: Device, T: Storage>(device: &D, array: &Array<D::Memory, T>) -> Result<Vec<f32>> {
    Ok(array.download(device)?.into_iter().map(T::to_f32).collect())
}

/// How far results of a storage type may lie from the CPU's f32: what rounding to it costs, or some f32 operations.
pub fn tolerance<T: Storage>() -> f32 {
    if T::WIDE == Bf16::WIDE { 1.0 / 128.0 } else { 2e-5 }
}

/// Fails unless all values are within `tolerance · (1 + |want|)`; NaN for NaN, and infinities alike.
#[track_caller]
pub fn close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let near = (got - want).abs() <= tolerance * (1.0 + want.abs());
        assert!(near || got == want || (got.is_nan() && want.is_nan()), "{what}[{i}]: {got}, expected {want}");
    }
}
