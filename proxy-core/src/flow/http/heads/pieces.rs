//! Heads of a caller whose bytes arrive in pieces: for the tests here, and for `make fuzz`, which tries arbitrary bytes.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::Heads;

/// What hyper reads where `sent` arrives in pieces of `size`.
pub fn read(sent: &[u8], size: usize) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime of one thread asks nothing of the system");
    let (mut caller, proxy) = duplex(size);
    let mut read = Vec::new();
    let sending = async move { caller.write_all(sent).await };
    let mut heads = Heads::new(proxy, false);
    let (sent, taken) = runtime.block_on(async { tokio::join!(sending, heads.read_to_end(&mut read)) });
    sent.and(taken).expect("a pipe in memory does not fail");
    read
}

/// Fails where `sent` is read otherwise in pieces of `size` than as a whole.
pub fn assert_heads_read_the_same(sent: &[u8], size: usize) {
    let (whole, pieces) = (read(sent, 1 << 20), read(sent, size));
    assert_eq!(
        pieces.escape_ascii().to_string(),
        whole.escape_ascii().to_string(),
        "in pieces of {size}"
    );
}
