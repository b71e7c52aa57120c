//! Bytes -> what they are: request heads, prefaces and others.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| proxy_core_fuzz::sniffs_the_same_in_any_pieces(bytes));
