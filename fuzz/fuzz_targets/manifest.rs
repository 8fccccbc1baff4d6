//! The fuzz target `manifest`: see the table in src/lib.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tallow_fuzz::run("manifest", data));
