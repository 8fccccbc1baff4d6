//! The device without a GPU: kernels compiled by g++ with `emulation/cuda.h`.
//!
//! Each launch runs twice from the same memory, its threads and blocks in order and in reverse, and must write the same
//! bits: a missing barrier or two writers of one value show. Arrays lie between guards that must not change; fresh memory
//! and guards are NaN, so that a read beyond an array shows in the result.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::{Mutex, OnceLock, PoisonError};

use libloading::Library;
use tallow_base::rng::hash;
use tallow_cuda::source::Program;
use tallow_cuda::{Device, Error, Launch, Memory, Result};

/// Words before and after an array.
const GUARD: usize = 8;
const FRESH: u128 = u128::MAX;

type Blocks = Rc<RefCell<BTreeMap<u64, Vec<u128>>>>;

pub struct Emulation {
    blocks: Blocks,
}

pub struct Block {
    blocks: Blocks,
    address: u64,
}

impl Memory for Block {
    fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.blocks.borrow_mut().remove(&self.address);
    }
}

impl Emulation {
    pub fn new() -> Self {
        Self { blocks: Blocks::default() }
    }

    fn snapshot(&self) -> Vec<Vec<u128>> {
        self.blocks.borrow().values().cloned().collect()
    }

    fn check_guards(&self, kernel: &str) {
        for words in self.blocks.borrow().values() {
            let (front, back) = (&words[..GUARD], &words[words.len() - GUARD..]);
            assert!(front.iter().chain(back).all(|word| *word == FRESH), "{kernel} wrote beyond an array");
        }
    }
}

impl Device for Emulation {
    type Memory = Block;

    fn allocate(&self, bytes: usize) -> Result<Block> {
        let words = vec![FRESH; bytes.div_ceil(16) + 2 * GUARD];
        let address = words[GUARD..].as_ptr() as u64;
        self.blocks.borrow_mut().insert(address, words);
        Ok(Block { blocks: self.blocks.clone(), address })
    }

    fn upload(&self, bytes: &[u8]) -> Result<Block> {
        let block = self.allocate(bytes.len())?;
        // SAFETY: the block has room for them.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), block.address as *mut u8, bytes.len()) };
        Ok(block)
    }

    fn download(&self, memory: &Block, bytes: &mut [u8]) -> Result<()> {
        // SAFETY: an array is not longer than its block.
        unsafe { std::ptr::copy_nonoverlapping(memory.address as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<()> {
        assert!(launch.block.iter().product::<u32>() <= 256, "{}: blocks of at most 256 threads", launch.kernel);
        let function = kernel(launch);
        let before = self.snapshot();
        call(function, launch, 0)?;
        self.check_guards(&launch.kernel);
        let after = self.snapshot();
        for (words, before) in self.blocks.borrow_mut().values_mut().zip(before) {
            words.copy_from_slice(&before);
        }
        call(function, launch, 1)?;
        assert!(self.snapshot() == after, "{}: results depend on the order of threads: a race", launch.kernel);
        Ok(())
    }
}

type Kernel = unsafe extern "C" fn(*const u32, *const u32, *const *const c_void, *const u32, u32, i32) -> i32;

/// The compiled kernel of a launch.
fn kernel(launch: &Launch) -> Kernel {
    static LIBRARIES: OnceLock<Mutex<BTreeMap<&'static str, Library>>> = OnceLock::new();
    let mut libraries = LIBRARIES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let library = libraries.entry(launch.program.name).or_insert_with(|| {
        // SAFETY: the library has been compiled from our own source, and runs nothing when it is loaded.
        unsafe { Library::new(compiled(launch.program)).expect("the compiled kernels") }
    });
    let name = format!("emulate_{}", launch.kernel);
    // SAFETY: `EMULATE` of cuda.h gives every kernel this signature; the libraries are never unloaded.
    unsafe {
        *library
            .get::<Kernel>(&name)
            .unwrap_or_else(|_| panic!("{} has no kernel {}", launch.program.name, launch.kernel))
    }
}

fn call(function: Kernel, launch: &Launch, reverse: i32) -> Result<()> {
    let values: Vec<_> = launch.arguments.iter().map(|argument| argument.as_ptr()).collect();
    let sizes: Vec<u32> = launch.arguments.iter().map(|argument| argument.size() as u32).collect();
    // SAFETY: by the contract of `launch`; number and sizes of the arguments are checked there.
    let status = unsafe {
        let count = sizes.len() as u32;
        function(launch.grid.as_ptr(), launch.block.as_ptr(), values.as_ptr(), sizes.as_ptr(), count, reverse)
    };
    let reason = match status {
        0 => return Ok(()),
        1 => format!("{} arguments are another number than its parameters", sizes.len()),
        2 => format!("an argument has another size than its parameter: {sizes:?}"),
        _ => "threads wait at a barrier that others never reach".to_owned(),
    };
    Err(Error::Launch { kernel: launch.kernel.clone(), program: launch.program.name, reason })
}

/// Compiles a program with g++, unless that has been done for the same text.
fn compiled(program: &Program) -> PathBuf {
    let header = include_str!("../../emulation/cuda.h");
    let exports: String = program.kernels().iter().map(|name| format!("EMULATE({name})\n")).collect();
    let text = [header, "\n", &program.text(), &exports].concat();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("emulation");
    std::fs::create_dir_all(&folder).unwrap();
    let stem = format!("{}-{:016x}", program.name, hash(&text));
    let library = folder.join(format!("{stem}.so"));
    if library.exists() {
        return library;
    }
    let source = folder.join(format!("{stem}.cpp"));
    std::fs::write(&source, text).unwrap();
    let partial = folder.join(format!("{stem}.{}.partial", std::process::id()));
    let flags = ["-std=c++20", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wno-unknown-pragmas"];
    let result =
        Command::new("g++").args(flags).arg("-Wno-unused-function").arg(&source).arg("-o").arg(&partial).output();
    let output = result.unwrap_or_else(|error| {
        panic!("g++ cannot be started ({error}): these tests compile the CUDA kernels with it. Install it (apt install g++)")
    });
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "g++ does not compile {}.cu:\n{messages}", program.name);
    assert!(messages.is_empty(), "g++ warns about {}.cu:\n{messages}", program.name);
    std::fs::rename(&partial, &library).unwrap();
    library
}

mod checks {
    //! The emulation finds the faults that it is for.

    use tallow_cuda::{Argument, Array};

    use super::*;

    fn launch(kernel: &str, arguments: Vec<Argument>) -> Launch {
        let program = Program::named("elementwise").unwrap();
        Launch { program, kernel: kernel.to_owned(), grid: [1, 1, 1], block: [256, 1, 1], arguments }
    }

    #[test]
    fn other_arguments_are_an_error() {
        let device = Emulation::new();
        let x = Array::upload(&device, &[1f32; 8]).unwrap();
        let short = launch("activation_forward_f32", vec![x.view().into()]);
        // SAFETY: the launch is refused before the kernel runs.
        let error = unsafe { device.launch(&short) }.unwrap_err().to_string();
        assert!(error.contains("another number"), "{error}");
        let (address, zero) = (Argument::from(x.view()), Argument::I32(0));
        let wrong = launch("activation_forward_f32", vec![address, address, zero, zero, zero]);
        // SAFETY: as above.
        let error = unsafe { device.launch(&wrong) }.unwrap_err().to_string();
        assert!(error.contains("another size"), "{error}");
    }

    #[test]
    #[should_panic(expected = "wrote beyond an array")]
    fn a_write_beyond_an_array_is_found() {
        let device = Emulation::new();
        let (x, mut y) = (Array::upload(&device, &[1f32; 64]).unwrap(), Array::uninit(&device, 4).unwrap());
        let to: tallow_cuda::ViewMut<f32> = y.view_mut();
        let arguments = vec![x.view().into(), (&to).into(), Argument::U64(8), Argument::I32(0), Argument::I32(0)];
        // SAFETY: what is written beyond lies in the guard.
        let _ = unsafe { device.launch(&launch("activation_forward_f32", arguments)) };
    }

    #[test]
    #[should_panic(expected = "a race")]
    fn a_race_is_found() {
        let device = Emulation::new();
        // Each block reads what the block before it has written.
        let mut x = Array::upload(&device, &[1f32; 1024]).unwrap();
        let (from, to) = (x.view().address(), x.view_mut().address() + 4);
        let arguments = vec![
            Argument::Address(from),
            Argument::Address(to),
            Argument::U64(1000),
            Argument::I32(0),
            Argument::I32(3),
        ];
        let mut launch = launch("activation_forward_f32", arguments);
        launch.grid = [4, 1, 1];
        // SAFETY: both ranges lie in the array.
        let _ = unsafe { device.launch(&launch) };
    }
}
