//! What is said before the program ends without having served.

use std::io;

use crate::terminal;

/// A help text, or what is wrong with the arguments.
#[derive(Debug)]
pub(crate) struct LastWords {
    text: String,
    code: u8,
    /// It was asked for, like `--help`.
    is_answer: bool,
}

impl LastWords {
    pub(crate) fn of_clap(error: &clap::Error) -> LastWords {
        let is_answer = !error.use_stderr();
        let columns = if is_answer {
            terminal::columns(io::stdout())
        } else {
            terminal::columns(io::stderr())
        };
        let columns = columns.unwrap_or(usize::MAX);
        // The text has its color taken out. Clap breaks its lines, but for the usage.
        let text = error.render().to_string();
        let lines = text.lines().map(|line| format!("{}\n", terminal::wrap(line, columns)));
        LastWords {
            text: lines.collect(),
            code: u8::try_from(error.exit_code()).unwrap_or(2),
            is_answer,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    pub(super) fn is_answer(&self) -> bool {
        self.is_answer
    }
}
