//! AMX through inline assembly: its intrinsics are not stable in Rust, its instructions are in every assembler.
//!
//! The kernel hands out the tile registers' state on request alone (Linux's `arch_prctl`); a thread that has set them up
//! gives them back after each task, so that a context switch need not save eight KiB.

use super::{Product, Term};

/// Whether the processor has AMX-BF16 and the kernel grants it to this process.
pub fn is_available() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        const AMX_BF16: u32 = 1 << 22;
        const AMX_TILE: u32 = 1 << 24;
        let bits = std::arch::x86_64::__cpuid_count(7, 0).edx;
        bits & AMX_BF16 != 0 && bits & AMX_TILE != 0 && request_permission()
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
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

/// Gives every tile register 16 rows of 64 bytes.
pub fn configure() {
    #[cfg(target_arch = "x86_64")]
    {
        #[repr(C, align(64))]
        struct Config {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            row_bytes: [u16; 16],
            rows: [u8; 16],
        }
        const EIGHT: usize = 8;
        let mut config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        config.row_bytes[..EIGHT].fill(64);
        config.rows[..EIGHT].fill(16);
        // SAFETY: the instruction reads the 64 bytes of `config`; AMX is available where a unit is begun.
        unsafe { std::arch::asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) }
    }
}

/// Gives the tile registers back.
pub fn release() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: AMX is available where a unit was begun.
    unsafe {
        std::arch::asm!("tilerelease", options(nostack, nomem))
    }
}

/// See [`super::Begun::multiply`].
///
/// # Safety
/// That method's, and [`configure`] was called on this thread.
#[inline]
pub unsafe fn multiply(product: &Product, terms: &[Term]) {
    #[cfg(target_arch = "x86_64")]
    // Registers 0 to 3 are the sums, 4 and 5 the rows, 6 and 7 the columns.
    // SAFETY: by the contract.
    unsafe {
        std::arch::asm!(
            "tileloadd tmm0, [{init0} + {init_stride}]",
            "tileloadd tmm1, [{init0} + {init_stride} + 64]",
            "tileloadd tmm2, [{init1} + {init_stride}]",
            "tileloadd tmm3, [{init1} + {init_stride} + 64]",
            init0 = in(reg) product.init[0], init1 = in(reg) product.init[1], init_stride = in(reg) product.init_stride,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, options(nostack, readonly)
        );
        if !terms.is_empty() {
            std::arch::asm!(
                "2:",
                "mov {row0}, [{terms}]",
                "mov {row1}, [{terms} + 8]",
                "mov {columns}, [{terms} + 16]",
                "add {row0}, [{product}]",
                "add {row1}, [{product}]",
                "add {columns}, [{product} + 8]",
                "mov {depths}, [{product} + 16]",
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
                "dec {depths}",
                "jnz 3b",
                "add {terms}, 24",
                "cmp {terms}, {end}",
                "jne 2b",
                row0 = out(reg) _, row1 = out(reg) _, columns = out(reg) _, depths = out(reg) _,
                terms = inout(reg) terms.as_ptr() => _, end = in(reg) terms.as_ptr_range().end,
                product = in(reg) product, line = in(reg) 64usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _, options(nostack, readonly)
            );
        }
        std::arch::asm!(
            "tilestored [{out0} + {out_stride}], tmm0",
            "tilestored [{out0} + {out_stride} + 64], tmm1",
            "tilestored [{out1} + {out_stride}], tmm2",
            "tilestored [{out1} + {out_stride} + 64], tmm3",
            out0 = in(reg) product.out[0], out1 = in(reg) product.out[1], out_stride = in(reg) product.out_stride,
            options(nostack)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (product, terms);
}
