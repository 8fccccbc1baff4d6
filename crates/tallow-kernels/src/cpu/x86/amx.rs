//! AMX by inline assembly: its intrinsics are not stable in Rust, and every assembler knows its instructions.
//!
//! Linux grants the tile registers on request (`arch_prctl`), once a process. A task configures them and gives them
//! back, so that a context switch need not save eight KiB. Nothing but [`multiply`] uses them: the compiler emits AMX
//! instructions only where a function enables the feature, and none does. A product is one `asm!` block, so that no
//! value stays in a tile register from one block to the next.

use std::mem::offset_of;

use crate::cpu::bf16::product::{Product, Term};

/// Whether the processor has AMX-BF16 and the operating system grants it to this process.
pub fn is_available() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    let bits = std::arch::x86_64::__cpuid_count(7, 0).edx;
    bits & AMX_BF16 != 0 && bits & AMX_TILE != 0 && request_permission()
}

#[cfg(target_os = "linux")]
fn request_permission() -> bool {
    const SYS_ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let result: i64;
    // SAFETY: a system call that reads and writes no memory of ours; the registers it changes are named.
    unsafe {
        std::arch::asm!(
            "syscall", inlateout("rax") SYS_ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA, lateout("rcx") _, lateout("r11") _, options(nostack)
        );
    }
    result == 0
}

/// Only Linux is known to grant them.
#[cfg(not(target_os = "linux"))]
fn request_permission() -> bool {
    false
}

/// Gives every tile register 16 rows of 64 bytes.
///
/// # Safety
/// [`is_available`].
pub unsafe fn configure() {
    #[repr(C, align(64))]
    struct Config {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }
    const REGISTERS: usize = 8;
    let mut config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    config.row_bytes[..REGISTERS].fill(64);
    config.rows[..REGISTERS].fill(16);
    // SAFETY: the instruction reads the 64 bytes of `config` and zeroes the tile registers; AMX is available by the
    // contract.
    unsafe {
        std::arch::asm!(
            "ldtilecfg [{}]", in(reg) &config,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _, options(nostack, readonly)
        );
    }
}

/// Gives the tile registers back.
///
/// # Safety
/// [`is_available`].
pub unsafe fn release() {
    // SAFETY: AMX is available by the contract.
    unsafe {
        std::arch::asm!(
            "tilerelease",
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _, options(nostack, nomem)
        );
    }
}

/// See [`Ready::multiply`](crate::cpu::bf16::Ready::multiply).
///
/// # Safety
/// That method's; [`configure`] was called on this thread.
#[inline]
pub unsafe fn multiply(product: &Product, terms: &[Term]) {
    // Tile registers 0 to 3 are the sums, 4 and 5 the rows, 6 and 7 the columns. SAFETY: by the contract the tiles of
    // all terms and `init` can be read and `out` can be written, and the tile registers are configured; every register
    // that changes is named.
    unsafe {
        std::arch::asm!(
            "mov {row0}, [{product} + {init0}]",
            "mov {row1}, [{product} + {init1}]",
            "mov {columns}, [{product} + {init_stride}]",
            "tileloadd tmm0, [{row0} + {columns}]",
            "tileloadd tmm1, [{row0} + {columns} + 64]",
            "tileloadd tmm2, [{row1} + {columns}]",
            "tileloadd tmm3, [{row1} + {columns} + 64]",
            "cmp {terms}, {end}",
            "je 4f",
            "2:",
            "mov {row0}, [{terms}]",
            "mov {row1}, [{terms} + 8]",
            "mov {columns}, [{terms} + 16]",
            "add {row0}, [{product} + {rows}]",
            "add {row1}, [{product} + {rows}]",
            "add {columns}, [{product} + {all_columns}]",
            "mov {depth}, [{product} + {depths}]",
            "3:",
            "tileloadd tmm4, [{row0} + {line}]",
            "tileloadd tmm6, [{columns} + {line}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{columns} + {line} + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{row1} + {line}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {row0}, 1024",
            "add {row1}, 1024",
            "add {columns}, 2048",
            "dec {depth}",
            "jnz 3b",
            "add {terms}, 24",
            "cmp {terms}, {end}",
            "jne 2b",
            "4:",
            "mov {row0}, [{product} + {out0}]",
            "mov {row1}, [{product} + {out1}]",
            "mov {columns}, [{product} + {out_stride}]",
            "tilestored [{row0} + {columns}], tmm0",
            "tilestored [{row0} + {columns} + 64], tmm1",
            "tilestored [{row1} + {columns}], tmm2",
            "tilestored [{row1} + {columns} + 64], tmm3",
            rows = const offset_of!(Product, rows), all_columns = const offset_of!(Product, columns),
            depths = const offset_of!(Product, depths),
            init0 = const offset_of!(Product, init), init1 = const offset_of!(Product, init) + 8,
            init_stride = const offset_of!(Product, init_stride),
            out0 = const offset_of!(Product, out), out1 = const offset_of!(Product, out) + 8,
            out_stride = const offset_of!(Product, out_stride),
            row0 = out(reg) _, row1 = out(reg) _, columns = out(reg) _, depth = out(reg) _,
            terms = inout(reg) terms.as_ptr() => _, end = in(reg) terms.as_ptr_range().end,
            product = in(reg) product, line = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _, options(nostack)
        );
    }
}
