//! A line chart as inline SVG.
//!
//! Owns the drawing; refuses to know what is drawn. Lines differ in their dashes too, and each is named
//! with what it ends at.

use std::fmt::Write;

use super::html::escaped;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 26.0;
/// How lines are told apart: as many as there are in the style.
const STYLES: usize = 5;

/// One line: its name, and its values by seconds.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) values: Vec<(f64, f64)>,
}

/// Nothing where there is no line.
pub(super) fn chart(title: &str, series: &[Series], told: fn(f64) -> String) -> String {
    let all = || series.iter().flat_map(|one| one.values.iter().copied());
    if all().count() < 2 {
        return String::new();
    }
    let first = all().map(|(at, _)| at).fold(f64::INFINITY, f64::min);
    let last = all().map(|(at, _)| at).fold(first, f64::max);
    let top = all().map(|(_, value)| value).fold(0.0, f64::max).max(f64::MIN_POSITIVE) * 1.1;
    let span = (last - first).max(1e-3);
    let x = |at: f64| LEFT + (at - first) / span * (WIDTH - LEFT - 10.0);
    let y = |value: f64| 8.0 + (1.0 - value / top) * (HEIGHT - BOTTOM - 8.0);
    let mut svg = format!(
        "<figure><figcaption>{0}</figcaption><svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\">",
        escaped(title)
    );
    for part in [0.0, 0.5, 1.0] {
        let level = y(top * part);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{level:.1}\" y2=\"{level:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - 10.0,
            LEFT - 5.0,
            level + 4.0,
            escaped(&told(top * part))
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{LEFT}\" y=\"{0}\">0 s</text><text x=\"{1}\" y=\"{0}\" text-anchor=\"end\">{span:.0} s</text>",
        HEIGHT - 8.0,
        WIDTH - 10.0
    );
    let mut key = String::new();
    for (index, one) in series.iter().enumerate() {
        let style = index % STYLES;
        let points: String = one
            .values
            .iter()
            .map(|(at, value)| format!("{:.1},{:.1} ", x(*at), y(*value)))
            .collect();
        let _ = write!(svg, "<polyline class=\"s{style}\" points=\"{}\"/>", points.trim_end());
        let _ = write!(
            key,
            "<li><svg viewBox=\"0 0 32 8\" aria-hidden=\"true\"><line class=\"s{style}\" x2=\"32\" y1=\"4\" y2=\"4\"/></svg> {}, at most {}</li>",
            escaped(&one.name),
            escaped(&told(one.values.iter().map(|(_, value)| *value).fold(0.0, f64::max)))
        );
    }
    svg + "</svg><ul class=\"key\">" + &key + "</ul></figure>"
}
