//! The outcome of a run as a picture: its latencies by percentile, and its throughput over time.

use std::fmt::Display;
use std::io;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::record::{RunRecord, real};
use super::scenario::LoadMode;
use super::text_report::{count, target, time};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (1_200, 800);
const FONT: &str = "sans-serif";
const BLUE: RGBColor = RGBColor(0x1F, 0x5A, 0xA6);
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const PALE: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);

/// The last percentile that is drawn leaves out at least this number of messages.
const LAST_MESSAGES: u64 = 1;

/// The picture as the text of an SVG file.
pub(crate) fn draw(record: &RunRecord) -> io::Result<String> {
    let mut text = String::new();
    draw_into(record, &mut text)?;
    Ok(text)
}

fn draw_into(record: &RunRecord, text: &mut String) -> io::Result<()> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let area = headline(record, &area)?;
    if let LoadMode::Bulk = record.terms.mode {
        throughput(record, &area)?;
    } else {
        let (upper, lower) = area.split_vertically(400);
        latencies(record, &upper)?;
        throughput(record, &lower)?;
    }
    area.present().map_err(failed)
}

fn headline<'a>(record: &RunRecord, area: &Area<'a>) -> io::Result<Area<'a>> {
    let (head, body) = area.split_vertically(104);
    let summary = &record.summary;
    let figures = match record.terms.mode {
        LoadMode::Bulk => format!("{:.1} MB/s each way", summary.megabytes_per_second),
        _ => format!(
            "{} messages/s, p50 {}, p99 {}, p99.9 {}, max {}",
            count(summary.messages_per_second),
            time(summary.p50_us),
            time(summary.p99_us),
            time(summary.p999_us),
            time(summary.max_us)
        ),
    };
    let mut terms = record.terms.to_string();
    if summary.client_was_the_bottleneck == Some(true) {
        terms += "; the client was the bottleneck";
    }
    let target = format!("socketserver bench; {}", target(record));
    for (text, size, y) in [(figures, 28, 20), (terms, 17, 58), (target, 17, 80)] {
        let text = Text::new(text, (40, y), (FONT, size).into_font().color(&INK));
        head.draw(&text).map_err(failed)?;
    }
    Ok(body)
}

/// The axis of percentiles gives every further nine the same room.
fn latencies(record: &RunRecord, area: &Area<'_>) -> io::Result<()> {
    let latencies = record.measured.histogram();
    let all = latencies.len().max(1);
    let mut points = Vec::new();
    let mut before = 0;
    for step in latencies.iter_recorded() {
        let above = (all - before).max(LAST_MESSAGES);
        points.push((real(all) / real(above), real(step.value_iterated_to()) / 1e3));
        before += step.count_at_value();
    }
    let highest = points.iter().map(|(_, y)| *y).fold(1.0, f64::max);
    let rightmost = points.iter().map(|(x, _)| *x).fold(10.0, f64::max);
    let lowest = points.iter().map(|(_, y)| *y).fold(highest, f64::min).max(0.1);
    let mut chart = ChartBuilder::on(area)
        .caption("Latency by percentile", (FONT, 20).into_font().color(&INK))
        .margin(12)
        .margin_right(40)
        .x_label_area_size(44)
        .y_label_area_size(90)
        .build_cartesian_2d(
            (1.0..rightmost * 1.02).log_scale(),
            (lowest * 0.9..highest * 1.1).log_scale(),
        )
        .map_err(failed)?;
    chart
        .configure_mesh()
        .bold_line_style(PALE)
        .light_line_style(WHITE)
        .label_style((FONT, 15).into_font().color(&INK))
        .x_desc("percentile of messages")
        .y_desc("latency (logarithmic)")
        .x_label_formatter(&|x| percentile(*x))
        .y_label_formatter(&|y| round_time(*y))
        .draw()
        .map_err(failed)?;
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(3))).map_err(failed)?;
    Ok(())
}

/// Of `x` messages one is slower.
fn percentile(x: f64) -> String {
    let share = (1.0 - 1.0 / x) * 100.0;
    let text = format!("{share:.4}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// On a logarithmic axis, where the names of all lines would stand on each other.
fn round_time(us: f64) -> String {
    let leading = us / 10_f64.powf(us.log10().floor());
    let is_round = [1.0, 2.0, 5.0, 10.0].iter().any(|digit| (leading - digit).abs() < 0.01);
    if is_round { time(us) } else { String::new() }
}

fn throughput(record: &RunRecord, area: &Area<'_>) -> io::Result<()> {
    let interval = real(record.interval_ns) / 1e9;
    let is_bulk = matches!(record.terms.mode, LoadMode::Bulk);
    let each = if is_bulk { real(record.terms.size as u64) / 1e6 } else { 1.0 };
    let samples = record.measured.samples.iter();
    let mut points: Vec<(f64, f64)> = samples
        .zip(0_u32..)
        .map(|(sample, nth)| {
            let middle = (f64::from(nth) + 0.5) * interval;
            (middle, real(sample.messages) / interval * each)
        })
        .collect();
    let end = points.last().map_or(interval, |(x, _)| x + interval / 2.0);
    let highest = points.iter().map(|(_, y)| *y).fold(1.0, f64::max);
    if points.is_empty() {
        points.push((0.0, 0.0));
    }
    let mut chart = ChartBuilder::on(area)
        .caption("Throughput over time", (FONT, 20).into_font().color(&INK))
        .margin(12)
        .margin_right(40)
        .x_label_area_size(44)
        .y_label_area_size(90)
        .build_cartesian_2d(0.0..end, 0.0..highest * 1.15)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .bold_line_style(PALE)
        .light_line_style(WHITE)
        .label_style((FONT, 15).into_font().color(&INK))
        .x_desc("seconds")
        .y_desc(if is_bulk { "MB/s each way" } else { "messages/s" })
        .y_label_formatter(&|y| count(*y))
        .draw()
        .map_err(failed)?;
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(3))).map_err(failed)?;
    Ok(())
}

fn failed(error: impl Display) -> io::Error {
    io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nine_has_its_name() {
        let names: Vec<String> = [1.0, 10.0, 100.0, 10_000.0].map(percentile).into();
        assert_eq!(names, ["0 %", "90 %", "99 %", "99.99 %"]);
        let times: Vec<String> = [100.0, 300.0, 5_000.0, 9e5, 1e6].map(round_time).into();
        assert_eq!(times, ["100.0 us", "", "5.00 ms", "", "1.00 s"]);
    }
}
