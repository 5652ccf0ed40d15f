//! A small line plot as SVG.

use std::fmt::Write;

/// What to draw.
pub struct Plot<'a> {
    pub title: &'a str,
    pub what: &'a str,
    pub seen: &'a [f64],
    pub known: &'a [f64],
    /// First and last step of the event.
    pub marked: (f64, f64),
    pub step_hours: i64,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 132.0;

pub fn svg(p: &Plot<'_>) -> String {
    let finite = |v: &&f64| v.is_finite();
    let top = p.seen.iter().chain(p.known).filter(finite).fold(1e-9f64, |a, b| a.max(*b)) * 1.05;
    let many = p.seen.len().max(2) as f64;
    let x = |i: f64| LEFT + (i / many).clamp(0.0, 1.0) * (WIDTH - LEFT - 8.0);
    let y = |v: f64| BOTTOM - v / top * (BOTTOM - TOP);
    let line = |values: &[f64]| {
        let (mut path, mut pen) = (String::new(), 'M');
        for (i, v) in values.iter().enumerate() {
            if v.is_finite() {
                write!(path, "{pen}{:.0} {:.0}", x(i as f64 + 0.5), y(*v)).expect("text");
                pen = 'L';
            } else {
                pen = 'M';
            }
        }
        path
    };
    let (from, until) = (x(p.marked.0), x(p.marked.1));
    let days = p.seen.len() as i64 * p.step_hours / 24;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <rect x=\"{from:.0}\" y=\"{TOP}\" width=\"{:.0}\" height=\"{:.0}\" fill=\"#fde2cf\"/>\n\
         <path d=\"{}\" fill=\"none\" stroke=\"#999\" stroke-dasharray=\"3 2\"/>\n\
         <path d=\"{}\" fill=\"none\" stroke=\"#1f5fa8\"/>\n\
         <path d=\"M{LEFT} {TOP}V{BOTTOM}H{WIDTH}\" fill=\"none\" stroke=\"#333\"/>\n\
         <text x=\"{LEFT}\" y=\"14\">{}: {} (dashed: known expectation)</text>\n\
         <text x=\"2\" y=\"{:.0}\">{:.3}</text><text x=\"2\" y=\"{BOTTOM}\">0</text>\n\
         <text x=\"{LEFT}\" y=\"146\">{days} days</text>\n</svg>\n",
        (until - from).max(1.0),
        BOTTOM - TOP,
        line(p.known),
        line(p.seen),
        p.title,
        p.what,
        TOP + 8.0,
        top / 1.05,
    )
}
