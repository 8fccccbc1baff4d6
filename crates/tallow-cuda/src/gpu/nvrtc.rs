//! NVRTC, the run-time compiler: loaded when the first program is compiled.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use libloading::Library;
use libloading::os::unix;

use super::libraries::{self, Found, entries_named};
use crate::error::{Error, Result};
use crate::source::Program;

/// The options of every compilation beside the architecture. A change makes other files in the cache.
pub const VERSIONED_OPTIONS: &[&str] = &["--std=c++17", "-default-device"];

type Handle = *mut c_void;

/// The loaded compiler.
pub struct Nvrtc {
    library: Library,
    /// NVRTC finds its built-in functions among the loaded libraries.
    _builtins: Option<unix::Library>,
    version: (i32, i32),
}

/// The architecture of a compute capability. Hopper's has the suffix of its own instructions.
pub fn architecture(major: i32, minor: i32) -> String {
    let suffix = if (major, minor) == (9, 0) { "a" } else { "" };
    format!("sm_{major}{minor}{suffix}")
}

macro_rules! call {
    ($nvrtc:expr, $name:ident ( $($argument:expr => $type:ty),* $(,)? )) => {{
        let symbol = concat!(stringify!($name), "\0");
        // SAFETY: the signature of nvrtc.h; the arguments are valid for the call.
        unsafe {
            match $nvrtc.library.get::<unsafe extern "C" fn($($type),*) -> c_int>(symbol.as_bytes()) {
                Ok(function) => function($($argument),*),
                Err(_) => return Err(Error::Driver(format!("libnvrtc has no function {}", stringify!($name)))),
            }
        }
    }};
}

impl Nvrtc {
    /// Finds and loads NVRTC.
    ///
    /// # Errors
    /// It is missing: the error names the library and its package.
    pub fn load() -> Result<Self> {
        let Found { path, library } = libraries::find(&libraries::NVRTC)?;
        let mut builtins = None;
        for candidate in path.parent().map(|folder| entries_named(folder, "libnvrtc-builtins.so")).unwrap_or_default() {
            // SAFETY: a library of NVIDIA's, whose initialisation has no demands.
            if let Ok(found) = unsafe { unix::Library::open(Some(&candidate), unix::RTLD_NOW | unix::RTLD_GLOBAL) } {
                builtins = Some(found);
            }
        }
        let mut nvrtc = Self { library, _builtins: builtins, version: (0, 0) };
        let (mut major, mut minor) = (0, 0);
        let status = call!(nvrtc, nvrtcVersion(&mut major => *mut c_int, &mut minor => *mut c_int));
        nvrtc.check(status)?;
        nvrtc.version = (major, minor);
        Ok(nvrtc)
    }

    /// Its version: major and minor.
    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    fn check(&self, status: c_int) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        Err(Error::Driver(format!("NVRTC: error {status}")))
    }

    /// The cubin of a program.
    ///
    /// # Errors
    /// It does not compile: the error has NVRTC's log.
    pub fn compile(&self, program: &'static Program, architecture: &str) -> Result<Vec<u8>> {
        let text = c_string(&program.text())?;
        let name = c_string(&format!("{}.cu", program.name))?;
        let mut handle: Handle = std::ptr::null_mut();
        let none = std::ptr::null::<*const c_char>();
        let status = call!(self, nvrtcCreateProgram(
            &mut handle => *mut Handle, text.as_ptr() => *const c_char, name.as_ptr() => *const c_char, 0 => c_int,
            none => *const *const c_char, none => *const *const c_char,
        ));
        self.check(status)?;
        let result = self.compiled(handle, program, architecture);
        let status = call!(self, nvrtcDestroyProgram(&mut handle => *mut Handle));
        self.check(status)?;
        result
    }

    fn compiled(&self, handle: Handle, program: &'static Program, architecture: &str) -> Result<Vec<u8>> {
        let options: Vec<CString> = VERSIONED_OPTIONS
            .iter()
            .map(|option| (*option).to_owned())
            .chain([format!("--gpu-architecture={architecture}")])
            .map(|option| c_string(&option))
            .collect::<Result<_>>()?;
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let status = call!(self, nvrtcCompileProgram(
            handle => Handle, pointers.len() as c_int => c_int, pointers.as_ptr() => *const *const c_char,
        ));
        if status != 0 {
            let mut size = 0usize;
            let found = call!(self, nvrtcGetProgramLogSize(handle => Handle, &mut size => *mut usize));
            self.check(found)?;
            let mut log = vec![0u8; size.max(1)];
            let found = call!(self, nvrtcGetProgramLog(handle => Handle, log.as_mut_ptr().cast() => *mut c_char));
            self.check(found)?;
            let log = CStr::from_bytes_until_nul(&log).map(|log| log.to_string_lossy().trim().to_owned());
            return Err(Error::Compile {
                program: program.name,
                architecture: architecture.to_owned(),
                log: log.unwrap_or_else(|_| format!("error {status}, without a log")),
            });
        }
        let mut size = 0usize;
        let status = call!(self, nvrtcGetCUBINSize(handle => Handle, &mut size => *mut usize));
        self.check(status)?;
        let mut image = vec![0u8; size];
        let status = call!(self, nvrtcGetCUBIN(handle => Handle, image.as_mut_ptr().cast() => *mut c_char));
        self.check(status)?;
        Ok(image)
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::Driver("a source with a zero byte".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_have_the_compilers_names() {
        assert_eq!(architecture(8, 0), "sm_80");
        assert_eq!(architecture(9, 0), "sm_90a");
        assert_eq!(architecture(12, 0), "sm_120");
    }

    /// Needs no GPU: LD_LIBRARY_PATH=…/nvidia/cu13/lib, from the package nvidia-cuda-nvrtc.
    #[test]
    #[ignore = "needs NVRTC"]
    fn programs_compile_and_faults_have_a_log() {
        let nvrtc = Nvrtc::load().unwrap();
        assert!(nvrtc.version().0 >= 12);
        let program = Program::named("tokens").unwrap();
        for architecture in ["sm_80", "sm_90a"] {
            let image = nvrtc.compile(program, architecture).unwrap();
            assert_eq!(image[..4], *b"\x7fELF");
        }
        let error = nvrtc.compile(program, "sm_1").unwrap_err().to_string();
        assert!(error.contains("NVRTC does not compile tokens.cu for sm_1"), "{error}");
    }
}
