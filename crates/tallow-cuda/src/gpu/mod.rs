//! A GPU as a [`Device`]: NVRTC compiles a program when its first kernel is launched; compiled programs are kept on disk.

mod cache;
mod devices;
mod driver;
mod libraries;
mod nvrtc;

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr as _, DriverError, result, sys};

pub use cache::Cache;
pub use devices::{DeviceInfo, Devices, LibraryInfo, devices};
pub use libraries::{KNOWN, Known, find};
pub use nvrtc::{Nvrtc, VERSIONED_OPTIONS as OPTIONS};

use self::driver::driver;
use crate::device::{Device, Memory};
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::source::Program;

/// A GPU and a stream on it.
pub struct Gpu {
    stream: Arc<CudaStream>,
    architecture: String,
    cache: Result<Cache>,
    loaded: Mutex<Loaded>,
}

/// The programs and kernels in use. They are never unloaded.
#[derive(Default)]
struct Loaded {
    nvrtc: Option<Nvrtc>,
    modules: HashMap<&'static str, Handle<sys::CUmodule>>,
    functions: HashMap<String, Handle<sys::CUfunction>>,
}

/// A handle of the driver, which may be used from any thread that has bound the context.
#[derive(Clone, Copy)]
struct Handle<T>(T);

// SAFETY: the driver's handles of modules and functions may be used from any thread.
unsafe impl<T> Send for Handle<T> {}

impl Gpu {
    /// The GPU of this number, with a stream of its own.
    ///
    /// # Errors
    /// No driver, no such GPU.
    pub fn new(ordinal: usize) -> Result<Self> {
        let found = devices::count()?;
        if ordinal >= found {
            return Err(Error::Driver(format!("there is no GPU {ordinal}: the driver lists {found}")));
        }
        let context = CudaContext::new(ordinal).map_err(driver)?;
        // SAFETY: one stream alone uses the memory; two events for each allocation would order nothing.
        unsafe { context.disable_event_tracking() };
        Self::with_stream(context.new_stream().map_err(driver)?)
    }

    /// The GPU of a stream that exists: Candle's, say. Launches go to it.
    ///
    /// # Errors
    /// A failure of the driver.
    pub fn with_stream(stream: Arc<CudaStream>) -> Result<Self> {
        let (major, minor) = stream.context().compute_capability().map_err(driver)?;
        keep_freed_memory(&stream).map_err(driver)?;
        let architecture = nvrtc::architecture(major, minor);
        Ok(Self { stream, architecture, cache: Cache::open_default(), loaded: Mutex::default() })
    }

    /// The stream of all launches.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// The architecture that programs are compiled for, such as `sm_90a`.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The folder of compiled programs, or why there is none: they are then compiled in every process.
    ///
    /// # Errors
    /// Why the folder is not used.
    pub fn cache(&self) -> std::result::Result<&Path, &Error> {
        self.cache.as_ref().map(Cache::folder)
    }

    /// Compiles and loads a program before its first launch.
    ///
    /// # Errors
    /// It does not compile; NVRTC is missing.
    pub fn prepare(&self, program: &'static Program) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(driver)?;
        self.loaded().module(program, &self.architecture, self.cache.as_ref().ok()).map(|_| ())
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn function(&self, launch: &Launch) -> Result<sys::CUfunction> {
        let mut loaded = self.loaded();
        if let Some(function) = loaded.functions.get(&launch.kernel) {
            return Ok(function.0);
        }
        let module = loaded.module(launch.program, &self.architecture, self.cache.as_ref().ok())?;
        let name = CString::new(launch.kernel.as_str()).map_err(|error| failed(launch, error))?;
        // SAFETY: the module is loaded, and never unloaded.
        let function = unsafe { result::module::get_function(module, name) }.map_err(|error| failed(launch, error))?;
        loaded.functions.insert(launch.kernel.clone(), Handle(function));
        Ok(function)
    }
}

fn failed(launch: &Launch, reason: impl std::fmt::Display) -> Error {
    Error::Launch { kernel: launch.kernel.clone(), program: launch.program.name, reason: reason.to_string() }
}

impl Loaded {
    fn module(
        &mut self,
        program: &'static Program,
        architecture: &str,
        cache: Option<&Cache>,
    ) -> Result<sys::CUmodule> {
        if let Some(module) = self.modules.get(program.name) {
            return Ok(module.0);
        }
        let nvrtc = match &self.nvrtc {
            Some(nvrtc) => nvrtc,
            None => self.nvrtc.insert(Nvrtc::load()?),
        };
        let image = match cache {
            Some(cache) => {
                cache.get_or(program, architecture, nvrtc.version(), || nvrtc.compile(program, architecture))?
            }
            None => nvrtc.compile(program, architecture)?,
        };
        // SAFETY: the image is a whole cubin: NVRTC's, or one whose hash the cache has checked.
        let module = unsafe { result::module::load_data(image.as_ptr().cast()) }.map_err(|error| Error::Launch {
            kernel: "(all)".to_owned(),
            program: program.name,
            reason: format!("the driver does not load it for {architecture}: {error}"),
        })?;
        self.modules.insert(program.name, Handle(module));
        Ok(module)
    }
}

/// Tells the driver's pool to keep memory that is given back: by default it returns all at every synchronisation.
fn keep_freed_memory(stream: &CudaStream) -> std::result::Result<(), DriverError> {
    let context = stream.context();
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is the device's own; the attribute is a number of 64 bits.
    unsafe {
        let mut pool = std::mem::MaybeUninit::uninit();
        sys::cuDeviceGetDefaultMemPool(pool.as_mut_ptr(), context.cu_device()).result()?;
        sys::cuMemPoolSetAttribute(pool.assume_init(), attribute, std::ptr::from_mut(&mut threshold).cast()).result()
    }
}

/// Memory of the GPU.
pub struct GpuMemory {
    address: u64,
    slice: CudaSlice<u8>,
}

impl Memory for GpuMemory {
    fn address(&self) -> u64 {
        self.address
    }
}

impl Gpu {
    fn memory(&self, slice: CudaSlice<u8>) -> GpuMemory {
        let address = slice.device_ptr(&self.stream).0;
        GpuMemory { address, slice }
    }
}

impl Device for Gpu {
    type Memory = GpuMemory;

    fn allocate(&self, bytes: usize) -> Result<GpuMemory> {
        // SAFETY: any bytes are a `u8`.
        let slice = unsafe { self.stream.alloc::<u8>(bytes) }.map_err(driver)?;
        Ok(self.memory(slice))
    }

    fn upload(&self, bytes: &[u8]) -> Result<GpuMemory> {
        let slice = self.stream.clone_htod(bytes).map_err(driver)?;
        Ok(self.memory(slice))
    }

    fn download(&self, memory: &GpuMemory, bytes: &mut [u8]) -> Result<()> {
        let part = memory.slice.slice(..bytes.len());
        self.stream.memcpy_dtoh(&part, bytes).map_err(driver)?;
        self.stream.synchronize().map_err(driver)
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(driver)?;
        let function = self.function(launch)?;
        let mut arguments: Vec<*mut c_void> =
            launch.arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let ([x, y, z], [tx, ty, tz]) = (launch.grid, launch.block);
        // SAFETY: by the contract; the driver copies the arguments before it returns.
        unsafe { result::launch_kernel(function, (x, y, z), (tx, ty, tz), 0, self.stream.cu_stream(), &mut arguments) }
            .map_err(|error| failed(launch, error))
    }
}
