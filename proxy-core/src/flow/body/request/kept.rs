//! What was read of a body, for another attempt.

use std::cell::{Cell, RefCell};

use bytes::{Bytes, BytesMut};
use hyper::{HeaderMap, body::Frame};

/// How much of a body is kept for another attempt: Envoy's default, by Istio left as it is.
pub(super) const KEPT: usize = 1024 * 1024;

/// Pieces smaller than this are kept together: by itself each takes more room than what is in it.
const SMALL: usize = 1024;

/// A request's body as it was read, for another attempt.
#[derive(Debug, Default)]
pub(in crate::flow) struct Kept {
    pieces: RefCell<Vec<Bytes>>,
    /// Small ones behind these.
    small: RefCell<BytesMut>,
    trailers: RefCell<Option<HeaderMap>>,
    size: Cell<usize>,
    ended: Cell<bool>,
}

impl Kept {
    /// True where all of it was read and kept: only then Envoy tries again.
    pub fn is_whole(&self) -> bool {
        self.ended.get() && self.size.get() <= KEPT
    }

    pub(super) fn keep(&self, frame: Option<&Frame<Bytes>>, ended: bool) {
        if let Some(trailers) = frame.and_then(Frame::trailers_ref) {
            *self.trailers.borrow_mut() = Some(trailers.clone());
        }
        if let Some(data) = frame.and_then(Frame::data_ref) {
            self.keep_data(data);
        }
        self.ended.set(ended);
    }

    fn keep_data(&self, data: &Bytes) {
        let (mut pieces, mut small) = (self.pieces.borrow_mut(), self.small.borrow_mut());
        self.size.set(self.size.get() + data.len());
        if self.size.get() > KEPT {
            pieces.clear();
            *small = BytesMut::new();
        } else if data.len() < SMALL {
            small.extend_from_slice(data);
        } else {
            if !small.is_empty() {
                pieces.push(std::mem::take(&mut *small).freeze());
            }
            pieces.push(data.clone());
        }
    }

    pub(super) fn set_ended(&self, ended: bool) {
        self.ended.set(ended);
    }

    /// What is kept by now.
    pub(super) fn pieces(&self) -> Vec<Bytes> {
        let mut pieces = self.pieces.borrow().clone();
        let small = self.small.borrow();
        if !small.is_empty() {
            pieces.push(Bytes::copy_from_slice(&small));
        }
        pieces
    }

    pub(super) fn trailers(&self) -> Option<HeaderMap> {
        self.trailers.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(kept: &Kept, data: Vec<u8>) {
        kept.keep(Some(&Frame::data(data.into())), false);
    }

    #[test]
    fn many_small_pieces_are_kept_together() {
        let kept = Kept::default();
        let mut sent = Vec::new();
        for number in 0..KEPT / 4 {
            sent.push(number as u8);
            keep(&kept, vec![number as u8]);
        }
        for size in [KEPT / 4, 3, KEPT / 4, 5] {
            sent.extend(vec![size as u8; size]);
            keep(&kept, vec![size as u8; size]);
        }
        kept.keep(None, true);
        assert!(kept.is_whole());
        let pieces = kept.pieces();
        assert!(pieces.len() <= 5, "{}", pieces.len());
        assert!(pieces.concat() == sent);
        keep(&kept, vec![0; KEPT]);
        assert!(!kept.is_whole() && kept.pieces().is_empty());
    }
}
