//! What a terminal shows: the cells that somebody sees there.
//!
//! Owns what programs with a picture send: words, places, and that all is cleared. Refuses colours, and to scroll.

/// A screen of a fixed size.
#[derive(Debug)]
pub struct Screen {
    cells: Vec<Vec<char>>,
    // Line and column of the next character.
    at: (usize, usize),
    // What has come of an escape sequence, or of a character.
    begun: Vec<u8>,
}

impl Screen {
    /// An empty one of so many columns and lines.
    pub fn new(columns: u16, lines: u16) -> Self {
        let cells = vec![vec![' '; columns.into()]; lines.into()];
        Self { cells, at: (0, 0), begun: Vec::new() }
    }

    /// Takes what a program sends, in pieces of any size.
    pub fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.begun.push(*byte);
            match self.begun.as_slice() {
                [0x1b] | [0x1b, b'['] => {}
                [0x1b, b'[', parameters @ .., 0x40..=0x7e] => {
                    let parameters = String::from_utf8_lossy(parameters).into_owned();
                    self.obey(&parameters, *byte);
                    self.begun.clear();
                }
                [0x1b, b'[', ..] => {}
                [0x1b, ..] => self.begun.clear(),
                [b'\r'] => {
                    self.at.1 = 0;
                    self.begun.clear();
                }
                [b'\n'] => {
                    self.at.0 += 1;
                    self.begun.clear();
                }
                whole => {
                    let whole = str::from_utf8(whole).ok().and_then(|text| text.chars().next());
                    if let Some(whole) = whole {
                        self.show(whole);
                        self.begun.clear();
                    }
                }
            }
        }
    }

    fn obey(&mut self, parameters: &str, command: u8) {
        let number = |place| {
            let given = parameters.split(';').nth(place).and_then(|text| text.parse().ok());
            given.unwrap_or(1_usize).saturating_sub(1)
        };
        match command {
            b'H' => self.at = (number(0), number(1)),
            b'J' => self.cells.iter_mut().for_each(|line| line.fill(' ')),
            _ => {}
        }
    }

    fn show(&mut self, character: char) {
        let (line, column) = self.at;
        if let Some(cell) = self.cells.get_mut(line).and_then(|line| line.get_mut(column)) {
            *cell = character;
        }
        self.at.1 += 1;
    }

    /// What stands there, a line each.
    pub fn text(&self) -> String {
        let lines = self.cells.iter().map(|line| line.iter().collect::<String>());
        lines.map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_where_they_were_sent_however_they_came() {
        let mut screen = Screen::new(8, 2);
        for byte in "\x1b[2J\x1b[1;3H\x1b[1mé7\x1b[0m\x1b[2;1Hend\r\x1b[2;2HN".bytes() {
            screen.take(&[byte]);
        }
        assert_eq!(screen.text(), "  é7\neNd\n");
        screen.take(b"\x1b[2J");
        assert_eq!(screen.text(), "\n\n");
    }
}
