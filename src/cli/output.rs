//! What a person sees: aligned tables, sparing colour, and no control
//! characters from outside.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

/// Rows under headings, aligned by the widest cell.
#[derive(Debug, Clone)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Where lines go, and whether they may be coloured.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    colour: bool,
}

/// How a word is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It holds.
    Good,
    /// It deserves a look.
    Warn,
    /// It does not hold.
    Bad,
    /// A heading.
    Head,
}

// === impl Table ===

impl Table {
    /// A table of these columns.
    pub fn new<const N: usize>(headings: [&'static str; N]) -> Self {
        Self {
            headings: headings.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; its cells are made safe to print.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        let safe = cells.into_iter().map(|cell| printable(&cell));
        self.rows.push(safe.collect());
    }

    /// Whether it has no row.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, headings first.
    pub fn lines(&self) -> Vec<String> {
        let headings: Vec<String> = self.headings.iter().map(|&cell| cell.to_owned()).collect();
        let mut widths = vec![0; headings.len()];
        for row in std::iter::once(&headings).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        std::iter::once(&headings)
            .chain(&self.rows)
            .map(|row| {
                let mut line = String::new();
                for (cell, width) in row.iter().zip(&widths) {
                    // Writing to a String does not fail.
                    let _ = write!(line, "{cell:<width$}  ");
                }
                line.trim_end().to_owned()
            })
            .collect()
    }
}

// === impl Screen ===

impl Screen {
    /// Standard output: coloured on a terminal unless `NO_COLOR` is set.
    pub fn standard() -> Self {
        Self {
            colour: is_coloured(&io::stdout()),
        }
    }

    /// Prints a line. A reader that went away is no failure of the command.
    pub fn line(self, text: impl AsRef<str>) {
        let _ = writeln!(io::stdout(), "{}", text.as_ref());
    }

    /// Prints a table with its headings.
    pub fn table(self, table: &Table) {
        let mut lines = table.lines().into_iter();
        if let Some(headings) = lines.next() {
            self.line(self.paint(Tone::Head, &headings));
        }
        for line in lines {
            self.line(line);
        }
    }

    /// Colours a word, where colour is wanted.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Head => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Whether what goes there may be coloured: a terminal, unless `NO_COLOR` is set.
pub fn is_coloured(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && stream.is_terminal()
}

/// Text from outside, fit for a terminal: control characters, bidirectional
/// overrides and line breaks become visible.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_escapes() {
        let mut table = Table::new(["name", "what"]);
        table.row(["a".to_owned(), "first".to_owned()]);
        table.row(["länger".to_owned(), "\u{1b}[31mred\r\n\u{202e}".to_owned()]);
        assert_eq!(
            table.lines(),
            [
                "name    what",
                "a       first",
                "länger  \u{fffd}[31mred\u{fffd}\u{fffd}\u{fffd}",
            ]
        );
    }
}
