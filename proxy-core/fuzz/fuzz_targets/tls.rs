//! Bytes that begin as a TLS handshake does -> what they are.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let record = [&[0x16, 3, 1], bytes].concat();
    proxy_core_fuzz::sniffs_the_same_in_any_pieces(&record);
});
