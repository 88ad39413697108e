//! Figures of many short rounds, their medians and quartiles, and the table in Markdown.

use std::io;

/// A figure for each server in each round.
pub(crate) type Rounds = Vec<Vec<f64>>;

/// Takes a figure of each server in each round; the first server changes from round to round.
pub(crate) fn in_turn(
    rounds: usize,
    servers: usize,
    mut take: impl FnMut(usize) -> io::Result<f64>,
) -> io::Result<Rounds> {
    let mut figures = vec![vec![0.0; servers]; rounds];
    for (round, of_round) in figures.iter_mut().enumerate() {
        for turn in 0..servers {
            let nth = (round + turn) % servers;
            of_round[nth] = take(nth)?;
        }
    }
    Ok(figures)
}

/// Formats medians and quartiles of the ratios to the first server, and that server's median in
/// nanoseconds.
pub(crate) fn ratios(rounds: &Rounds) -> Vec<String> {
    let of = |nth: usize| {
        let [low, middle, high] = quartiles(rounds.iter().map(|round| round[nth] / round[0]));
        format!("{middle:.2} [{low:.2}, {high:.2}]")
    };
    let [_, first, _] = quartiles(rounds.iter().map(|round| round[0]));
    let first = format!("1 = {} ns", grouped(first));
    [first].into_iter().chain((1..rounds[0].len()).map(of)).collect()
}

/// Formats the medians in bytes.
pub(crate) fn bytes(rounds: &Rounds) -> Vec<String> {
    let of = |nth: usize| quartiles(rounds.iter().map(|round| round[nth]))[1];
    (0..rounds[0].len()).map(|nth| format!("{} B", grouped(of(nth)))).collect()
}

/// Returns lower quartile, median and upper quartile.
pub(crate) fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    [last / 4, last / 2, last - last / 4].map(|nth| values[nth])
}

/// Formats a number with commas.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// A column: its title and its cells.
pub(crate) fn column(title: String, cells: Vec<String>) -> Vec<String> {
    [title].into_iter().chain(cells).collect()
}

/// Prints the columns as a table in Markdown.
pub(crate) fn print_columns(columns: &[Vec<String>]) {
    for line in 0..columns[0].len() {
        for cells in columns {
            let width = cells.iter().map(String::len).max().unwrap_or_default();
            print!("| {:<width$} ", cells[line]);
        }
        println!("|");
        if line == 0 {
            println!("{}|", "|---".repeat(columns.len()));
        }
    }
}
