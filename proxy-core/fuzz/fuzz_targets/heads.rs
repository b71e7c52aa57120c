//! Bytes -> the heads of requests: the same however the bytes arrive. The first byte says in pieces of which size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_core::flow::assert_heads_read_the_same;

fuzz_target!(|bytes: &[u8]| {
    if let Some((size, sent)) = bytes.split_first() {
        assert_heads_read_the_same(sent, usize::from(*size).max(1));
    }
});
