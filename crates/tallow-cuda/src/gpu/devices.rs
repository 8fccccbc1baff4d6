//! A listing of the GPUs and of CUDA's libraries.

use std::path::PathBuf;

use cudarc::driver::{result, sys};

use super::driver::driver;
use super::libraries::{DRIVER, KNOWN, Known, NVRTC, find};
use super::nvrtc::{Nvrtc, architecture};
use crate::error::Result;

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its number.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// What programs are compiled for, such as `sm_90a`.
    pub architecture: String,
    /// Its memory in bytes.
    pub memory_bytes: usize,
    /// Its multiprocessors.
    pub multiprocessors: usize,
}

/// The GPUs and libraries of this machine.
#[derive(Debug)]
pub struct Devices {
    /// The GPUs; the error says why none can be used.
    pub devices: Result<Vec<DeviceInfo>>,
    /// The newest CUDA version that the driver supports: major, minor.
    pub driver: Option<(i32, i32)>,
    /// Each library by its file name; or an error that names it and its package.
    pub libraries: Vec<(&'static str, Result<LibraryInfo>)>,
}

/// A library that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryInfo {
    /// Where it is; the name alone if the loader found it.
    pub path: PathBuf,
    /// Its version, if it tells one.
    pub version: Option<String>,
}

/// Lists the GPUs and libraries. Opens no GPU.
pub fn devices() -> Devices {
    let libraries = KNOWN.iter().map(|known| (known.names[0], library(known))).collect();
    Devices { devices: list(), driver: driver_version().ok(), libraries }
}

fn library(known: &Known) -> Result<LibraryInfo> {
    let found = find(known)?;
    if *known == NVRTC {
        let (major, minor) = Nvrtc::load()?.version();
        return Ok(LibraryInfo { path: found.path, version: Some(format!("{major}.{minor}")) });
    }
    let version = known.version.and_then(|name| {
        // SAFETY: the function takes nothing and returns a number, as the table says.
        unsafe { found.library.get::<unsafe extern "C" fn() -> usize>(name).ok().map(|version| version()) }
    });
    // cuBLASLt 130002, cuDNN 91900: major, minor and patch.
    let version = version.map(|version| format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100));
    Ok(LibraryInfo { path: found.path, version })
}

/// Fails unless there is a driver: without one, cudarc's functions panic.
fn need_driver() -> Result<()> {
    find(&DRIVER)?;
    result::init().map_err(driver)
}

/// The number of GPUs.
pub(super) fn count() -> Result<usize> {
    need_driver()?;
    let count = result::device::get_count().map_err(driver)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn driver_version() -> Result<(i32, i32)> {
    find(&DRIVER)?;
    let mut version = 0;
    // SAFETY: the driver writes one number.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(driver)?;
    Ok((version / 1000, version / 10 % 100))
}

fn list() -> Result<Vec<DeviceInfo>> {
    (0..count()?).map(info).collect()
}

fn info(ordinal: usize) -> Result<DeviceInfo> {
    use sys::CUdevice_attribute_enum as Attribute;
    let device = result::device::get(ordinal as i32).map_err(driver)?;
    // SAFETY: the driver has listed the device.
    let attribute = |attribute| unsafe { result::device::get_attribute(device, attribute) }.map_err(driver);
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
    // SAFETY: as above.
    let memory_bytes = unsafe { result::device::total_mem(device) }.map_err(driver)?;
    Ok(DeviceInfo {
        ordinal,
        name: result::device::get_name(device).map_err(driver)?,
        architecture: architecture(major, minor),
        memory_bytes,
        multiprocessors: usize::try_from(multiprocessors).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    /// On a machine without a driver the listing names what is missing; on one with a GPU it lists it.
    #[test]
    fn a_listing_never_panics() {
        let found = devices();
        match found.devices {
            Ok(devices) => assert!(devices.iter().all(|device| device.memory_bytes > 0)),
            Err(Error::Library { library, .. }) => assert_eq!(library, "libcuda.so.1"),
            Err(other) => assert!(matches!(other, Error::Driver(_)), "{other}"),
        }
        assert_eq!(found.libraries.len(), KNOWN.len());
    }
}
