//! The last part of a text that may be endless.
//!
//! Owns the bound; refuses to guess at lines or encodings until it is read.

/// Keeps the last `bytes_max` bytes of what is pushed.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// Whether something in front was forgotten.
    cut: bool,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, cut: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Twice the bound, so that the front is moved once in a while and not at every push.
        if self.bytes.len() > 2 * self.bytes_max {
            self.forget_front();
        }
    }

    fn forget_front(&mut self) {
        let surplus = self.bytes.len().saturating_sub(self.bytes_max);
        if surplus > 0 {
            self.bytes.drain(..surplus);
            self.cut = true;
        }
    }

    /// What is kept, without white space around it; empty when nothing was said.
    pub(super) fn text(&mut self) -> String {
        self.forget_front();
        let text = String::from_utf8_lossy(&self.bytes);
        let mark = if self.cut { "… " } else { "" };
        format!("{mark}{}", text.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_and_the_cut_is_marked() {
        let mut tail = Tail::new(4);
        tail.push(b"ab\n");
        assert_eq!(tail.text(), "ab");
        for _ in 0..1_000 {
            tail.push(b"cdefg");
            assert!(tail.bytes.len() <= 8);
        }
        assert_eq!(tail.text(), "… defg");
    }
}
