//! Whole lines out of bytes as they come.
//!
//! Owns the bound of a line; refuses to know what stands in it.

/// The longest line; what follows is left out, and that is said.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// What stands where a line was cut.
const CUT: &[u8] = " … (cut)".as_bytes();

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub struct Splitter {
    // A line whose end has not come yet.
    begun: Vec<u8>,
    // The rest of it is left out.
    cut: bool,
}

impl Splitter {
    /// Gives each line that ends in `bytes`, without its line end.
    pub fn push(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.begun.is_empty() && line.len() <= LINE_BYTES_MAX {
                each(without_return(line));
                continue;
            }
            self.keep(line);
            self.end(each);
        }
        self.keep(bytes);
    }

    /// Gives the line that was begun, if there is one.
    pub fn end(&mut self, each: &mut dyn FnMut(&[u8])) {
        if !self.begun.is_empty() {
            each(without_return(&self.begun));
        }
        self.begun.clear();
        self.cut = false;
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.cut || bytes.is_empty() {
            return;
        }
        let room = LINE_BYTES_MAX.saturating_sub(self.begun.len());
        match bytes.get(..room) {
            Some(fits) if fits.len() < bytes.len() => {
                self.begun.extend_from_slice(fits);
                self.begun.extend_from_slice(CUT);
                self.cut = true;
            }
            _ => self.begun.extend_from_slice(bytes),
        }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of these pieces, the last of which ends.
    fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        let mut each = |line: &[u8]| lines.push(line.to_vec());
        pieces.iter().for_each(|piece| splitter.push(piece, &mut each));
        splitter.end(&mut each);
        lines
    }

    #[test]
    fn lines_are_the_same_in_whichever_pieces_they_come() {
        let whole: &[u8] = b"one\n\ntwo\r\nthree";
        let wanted = [&b"one"[..], b"", b"two", b"three"];
        assert_eq!(lines(&[whole]), wanted);
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        // An empty line that is begun is not told from none.
        assert_eq!(lines(&bytes), wanted);
        assert!(lines(&[b""]).is_empty());
    }

    #[test]
    fn a_line_without_end_is_cut_with_a_word_and_the_next_one_is_whole() {
        let endless = vec![b'x'; 3 * LINE_BYTES_MAX];
        for piece in [1_000, endless.len()] {
            let mut pieces: Vec<&[u8]> = endless.chunks(piece).collect();
            pieces.push(b"\nnext\n");
            let found = lines(&pieces);
            assert_eq!(found.len(), 2);
            assert_eq!(found[0].len(), LINE_BYTES_MAX + CUT.len());
            assert!(found[0].ends_with(CUT));
            assert_eq!(found[1], b"next");
        }
        let fits = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(lines(&[&fits, b"\n"]), [fits]);
    }
}
