//! Bars with whiskers, as SVG.

use crate::cli::kit::spread::Spread;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const ROW: f64 = 26.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 54.0;

/// One bar each, from the median; the whisker goes from the least to the most. `own` bars have the other colour.
pub(super) fn bars(title: &str, unit: &str, rows: &[(&str, Spread)], own: impl Fn(&str) -> bool) -> String {
    let most = axis(rows);
    let height = TOP + rows.len() as f64 * ROW + 12.0;
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"12\" y=\"40\" fill=\"#555\">{}; bar: median, whisker: least and most of the rounds</text>\n",
        escaped(title),
        escaped(unit)
    );
    for (index, (label, spread)) in rows.iter().enumerate() {
        let top = TOP + index as f64 * ROW;
        let middle = top + ROW / 2.0 - 2.0;
        let place = |value: f64| LEFT + value.min(most) * scale;
        let [min, median, max] = [spread.min, spread.median, spread.max].map(place);
        let broken = if spread.median > most { "» " } else { "" };
        let colour = if own(label) { "#2f6db3" } else { "#b9bec6" };
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
             <path d=\"M{min:.1} {middle:.1}H{max:.1}M{min:.1} {:.1}v8M{max:.1} {:.1}v8\" stroke=\"#222\" fill=\"none\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{broken}{}</text>\n",
            LEFT - 8.0,
            middle + 4.5,
            escaped(label),
            median - LEFT,
            ROW - 6.0,
            middle - 4.0,
            middle - 4.0,
            max.max(median) + 8.0,
            middle + 4.5,
            number(spread.median),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where the bars end: those that are more than fifteen times the shortest are broken off.
fn axis(rows: &[(&str, Spread)]) -> f64 {
    let least = rows.iter().map(|(_, spread)| spread.median).fold(f64::INFINITY, f64::min);
    let most = rows.iter().map(|(_, spread)| spread.max).fold(0.0, f64::max);
    most.min(least * 15.0).max(f64::MIN_POSITIVE)
}

/// Three digits that count.
pub(super) fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_medians() {
        let spread = |min, median, max| Spread { min, median, max, count: 3 };
        let rows = [("tollgate", spread(10.0, 20.0, 50.0)), ("a<b", spread(50.0, 100.0, 100.0))];
        let svg = bars("Cost & more", "µs", &rows, |label| label == "tollgate");
        let widths: Vec<&str> =
            svg.lines().filter(|line| line.contains("#2f6db3") || line.contains("#b9bec6")).collect();
        assert!(widths[0].contains("width=\"104.0\"") && widths[1].contains("width=\"520.0\""), "{svg}");
        assert!(svg.contains("a&lt;b") && svg.contains("Cost &amp; more") && svg.contains("M202.0"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        let svg = bars("a", "µs", &[rows[0], ("dear", spread(900.0, 1000.0, 1100.0))], |_| false);
        assert!(svg.contains("» 1000") && svg.contains("width=\"520.0\""), "{svg}");
        bars("nobody", "µs", &[], |_| false);
    }

    #[test]
    fn numbers() {
        assert_eq!([0.128, 12.34, 4567.8].map(number), ["0.13", "12.3", "4568"]);
    }
}
