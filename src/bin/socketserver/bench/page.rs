//! Text that fits into the terminal it goes to, however narrow that is; any other reader gets lines
//! as long as they come.

use std::fmt::Write;

use crate::terminal::{INDENT, wrap};

#[derive(Default)]
pub(crate) struct Page {
    pub(crate) text: String,
    /// How much goes into a line; no limit if it is `None`.
    pub(crate) columns: Option<usize>,
}

/// The columns of a name, and of the figure behind it.
const NAME: usize = 26;
const VALUE: usize = 14;

impl Page {
    pub(crate) fn new(columns: Option<usize>) -> Page {
        Page { text: String::new(), columns }
    }

    fn fits(&self, line: &str) -> bool {
        self.columns.is_none_or(|columns| line.chars().count() <= columns)
    }

    /// One line, or as many as it takes.
    pub(crate) fn line(&mut self, line: &str) {
        let line = wrap(line, self.columns.unwrap_or(usize::MAX));
        let _ = writeln!(self.text, "{line}");
    }

    /// A figure and its name, with more about it behind them.
    pub(crate) fn row_with(&mut self, name: &str, value: &str, more: &str) {
        let row = format!("{name:<NAME$}{value:>VALUE$}  {more}");
        if self.fits(row.trim_end()) {
            return self.line(row.trim_end());
        }
        let room = self.columns.unwrap_or(usize::MAX).min(NAME + VALUE);
        let gap = room.saturating_sub(name.chars().count() + value.chars().count()).max(1);
        self.line(&format!("{name}{:gap$}{value}", ""));
        if !more.is_empty() {
            self.line(&format!("{INDENT}{more}"));
        }
    }

    pub(crate) fn row(&mut self, name: &str, value: &str) {
        self.row_with(name, value, "");
    }

    /// `wide` where it fits into a line, and otherwise `name` and what is to be known about it.
    pub(crate) fn wide_or(&mut self, wide: &str, name: &str, narrow: &str) {
        if self.fits(wide.trim_end()) {
            return self.line(wide.trim_end());
        }
        self.line(name);
        self.line(&format!("{INDENT}{narrow}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_its_figure_and_moves_the_rest_below() {
        let rows = |columns| {
            let mut page = Page::new(columns);
            page.row("errors", "0");
            page.row_with("server CPU", "0.980 s", "49 % of a core");
            page.text
        };
        assert_eq!(
            rows(None),
            "errors                                 0\n\
             server CPU                       0.980 s  49 % of a core\n"
        );
        assert_eq!(rows(Some(56)), rows(None));
        assert_eq!(
            rows(Some(40)),
            "errors                                 0\n\
             server CPU                       0.980 s\n  49 % of a core\n"
        );
        assert_eq!(
            rows(Some(20)),
            "errors             0\nserver CPU   0.980 s\n  49 % of a core\n"
        );
    }
}
