//! The table as a chart: a group of bars a figure, each group on a scale of its own.

use std::fmt::Write;

use crate::table::{Line, Table, short};

/// Sizes in pixels: the page, the room for names, a bar, and the space below each group.
const WIDTH: f64 = 860.0;
const NAME_WIDTH: f64 = 100.0;
const FIGURE_WIDTH: f64 = 90.0;
const BAR: f64 = 14.0;
const TITLE: f64 = 22.0;
const GAP: f64 = 12.0;
const MARGIN: f64 = 16.0;
/// Bars by server, in turn; they can be told apart on white, and by those who see no red or no green.
const COLOURS: [&str; 7] = ["#999999", "#0072b2", "#e69f00", "#56b4e9", "#d55e00", "#009e73", "#cc79a7"];

/// Draws the table.
pub(crate) fn svg(table: &Table) -> String {
    let height = |line: &Line| TITLE + GAP + BAR * line.cells.len() as f64;
    let total = 3.0 * MARGIN + table.lines.iter().map(height).sum::<f64>();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{total}\" fill=\"white\"/>\n"
    );
    let note = "Medians. CPU a message, delivery and visit, and p50 and p99: over the forwarder's, which is the physical limit.";
    let _ = writeln!(svg, "<text x=\"{MARGIN}\" y=\"{MARGIN}\" fill=\"#555555\">{note}</text>");
    let mut top = 2.0 * MARGIN;
    for line in &table.lines {
        draw(&mut svg, table, line, top);
        top += height(line);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, table: &Table, line: &Line, top: f64) {
    // Writing to memory cannot fail.
    let _ = writeln!(svg, "<text x=\"{MARGIN}\" y=\"{}\" font-weight=\"bold\">{}</text>", top + BAR, line.name);
    let most = line.cells.iter().map(|cell| cell.median).fold(f64::MIN_POSITIVE, f64::max);
    for (place, cell) in line.cells.iter().enumerate() {
        let y = top + TITLE + BAR * place as f64;
        let baseline = y + BAR - 3.0;
        let left = MARGIN + NAME_WIDTH;
        let width = (cell.median / most).max(0.0) * (WIDTH - left - FIGURE_WIDTH);
        let server = table.servers.iter().position(|server| *server == cell.server).unwrap_or_default();
        let colour = COLOURS.get(server % COLOURS.len()).unwrap_or(&"black");
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{left}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{baseline}\">{}</text>",
            left - 6.0,
            cell.server,
            BAR - 2.0,
            left + width + 4.0,
            short(cell.median),
        );
    }
}
