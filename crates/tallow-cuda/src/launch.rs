//! A kernel with its grid and arguments.

use crate::error::{Error, Result};
use crate::memory::{Plain, Storage, View, ViewMut};
use crate::source::Program;

/// An argument of a kernel, as its bytes go to the device.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Argument {
    Address(u64),
    I32(i32),
    U32(u32),
    U64(u64),
    F32(f32),
    F64(f64),
}

impl Argument {
    /// Its size in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::I32(_) | Self::U32(_) | Self::F32(_) => 4,
            Self::Address(_) | Self::U64(_) | Self::F64(_) => 8,
        }
    }

    /// Where its value lies.
    pub fn as_ptr(&self) -> *const std::ffi::c_void {
        match self {
            Self::I32(value) => std::ptr::from_ref(value).cast(),
            Self::U32(value) => std::ptr::from_ref(value).cast(),
            Self::F32(value) => std::ptr::from_ref(value).cast(),
            Self::Address(value) | Self::U64(value) => std::ptr::from_ref(value).cast(),
            Self::F64(value) => std::ptr::from_ref(value).cast(),
        }
    }
}

macro_rules! argument {
    ($($type:ty => $variant:ident),*) => {
        $(impl From<$type> for Argument {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        })*
    };
}
argument!(i32 => I32, u32 => U32, u64 => U64, f32 => F32, f64 => F64);

impl<T: Plain> From<View<'_, T>> for Argument {
    fn from(view: View<'_, T>) -> Self {
        Self::Address(view.address())
    }
}

impl<T: Plain> From<&ViewMut<'_, T>> for Argument {
    fn from(view: &ViewMut<'_, T>) -> Self {
        Self::Address(view.address())
    }
}

/// A missing array is a null pointer.
impl<T: Into<Argument>> From<Option<T>> for Argument {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Address(0), Into::into)
    }
}

impl From<bool> for Argument {
    fn from(value: bool) -> Self {
        Self::I32(value.into())
    }
}

/// A kernel with its grid and arguments.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program that has the kernel.
    pub program: &'static Program,
    /// The kernel's name.
    pub kernel: String,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block, at most 256.
    pub block: [u32; 3],
    /// The arguments, in order.
    pub arguments: Vec<Argument>,
}

impl Launch {
    /// A launch of `kernel` of the program of this name.
    pub(crate) fn new(
        program: &str,
        kernel: impl Into<String>,
        grid: Grid,
        arguments: Vec<Argument>,
    ) -> Result<Launch> {
        let kernel = kernel.into();
        let program = Program::named(program).ok_or_else(|| Error::Launch {
            kernel: kernel.clone(),
            program: "unknown",
            reason: format!("there is no program {program}"),
        })?;
        // The driver's limits.
        if grid.blocks[1].max(grid.blocks[2]) > 65_535 || grid.blocks[0] > i32::MAX as u32 {
            let reason = format!("a grid of {:?} blocks is too large", grid.blocks);
            return Err(Error::Launch { kernel, program: program.name, reason });
        }
        Ok(Launch { program, kernel, grid: grid.blocks, block: grid.threads, arguments })
    }
}

/// The arguments of a launch, each converted.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => { vec![$($crate::launch::Argument::from($value)),*] };
}
pub(crate) use arguments;

/// Blocks, and threads of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub blocks: [u32; 3],
    pub threads: [u32; 3],
}

/// Threads of a block, everywhere.
pub(crate) const THREADS: usize = 256;

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Grid {
    /// As many threads in a row.
    pub fn flat(threads: usize) -> Grid {
        Grid { blocks: [count(threads.div_ceil(THREADS).max(1)), 1, 1], threads: [THREADS as u32, 1, 1] }
    }

    /// A warp for each row.
    pub fn warps(rows: usize) -> Grid {
        Grid::flat(rows * 32)
    }

    /// Blocks of `threads` in a row, for each of `rows`: they are the grid's first dimension, which may be large.
    pub fn rows(rows: usize, threads: usize) -> Grid {
        let blocks = [count(rows.max(1)), count(threads.div_ceil(THREADS).max(1)), 1];
        Grid { blocks, threads: [THREADS as u32, 1, 1] }
    }

    /// One block for each of `blocks`.
    pub fn blocks(blocks: usize) -> Grid {
        Grid { blocks: [count(blocks.max(1)), 1, 1], threads: [THREADS as u32, 1, 1] }
    }

    /// 32 columns by 8 rows of threads, for the sums over slices.
    pub fn finish(columns: usize, groups: usize) -> Grid {
        Grid { blocks: [count(columns.div_ceil(32).max(1)), 1, count(groups)], threads: [32, 8, 1] }
    }
}

/// The division of a `[rows, c]` matrix among blocks: from the sizes alone, so that the order of sums is too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slices {
    /// Slices of rows.
    pub count: usize,
    /// Rows of each but the last.
    pub rows: usize,
    pub grid: Grid,
}

/// Blocks that fill a large GPU some times over.
const BLOCKS: usize = 1024;

impl Slices {
    /// For threads of `width` columns.
    pub fn new(rows: usize, c: usize, width: usize, groups: usize) -> Slices {
        let needed = c.div_ceil(width).max(1);
        let lanes = needed.next_power_of_two().min(32);
        let thread_rows = THREADS / lanes;
        let across = needed.div_ceil(lanes);
        let wanted = (BLOCKS / (across * groups.max(1))).max(1);
        let slices = rows.div_ceil(thread_rows * 4).clamp(1, wanted);
        let rows_of_slice = rows.div_ceil(slices).next_multiple_of(thread_rows).max(1);
        let slices = rows.div_ceil(rows_of_slice).max(1);
        let grid = Grid {
            blocks: [count(across), count(slices), count(groups)],
            threads: [lanes as u32, thread_rows as u32, 1],
        };
        Slices { count: slices, rows: rows_of_slice, grid }
    }
}

/// Whether kernels may move 16 bytes at a time: `run` neighbours end where the next begin, at addresses that allow it.
pub(crate) fn is_wide<T: Storage>(run: usize, addresses: &[u64]) -> bool {
    run.is_multiple_of(T::WIDE) && addresses.iter().all(|address| address.is_multiple_of(16))
}

/// Values that a thread works on.
pub(crate) fn width<T: Storage>(wide: bool) -> usize {
    if wide { T::WIDE } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_all_rows_and_fill_blocks() {
        for (rows, c, width, groups) in
            [(1, 1, 1, 1), (7, 3, 1, 2), (1001, 45, 1, 1), (802_816, 64, 8, 1), (5, 4096, 4, 3)]
        {
            let slices = Slices::new(rows, c, width, groups);
            let [lanes, thread_rows, _] = slices.grid.threads.map(|n| n as usize);
            assert_eq!(lanes * thread_rows, THREADS);
            assert!(slices.grid.blocks[0] as usize * lanes * width >= c);
            assert!(slices.count * slices.rows >= rows && (slices.count - 1) * slices.rows < rows, "{slices:?}");
            assert_eq!(slices.grid.blocks[1] as usize, slices.count);
        }
    }
}
