//! Line charts as SVG text, such as learning curves. Needs the feature `plots`.

use plotters::prelude::*;

use crate::{Error, Result};

/// A line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// (x, y) from left to right; points with a value that is not finite are left out.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    fn finite(&self) -> Vec<(f64, f64)> {
        self.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    }
}

/// Colours that colour-blind readers can tell apart (Okabe & Ito 2008).
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

/// Draws a line chart of 720 × 400 pixels with one pair of axes, as SVG text.
///
/// # Errors
/// [`Error::Plot`] if no series has a finite point.
pub fn line_chart_svg(title: &str, x_label: &str, y_label: &str, series: &[Series]) -> Result<String> {
    let (xs, ys): (Vec<f64>, Vec<f64>) = series.iter().flat_map(Series::finite).unzip();
    if xs.is_empty() {
        return Err(Error::Plot { reason: format!("{title}: no finite point to draw") });
    }
    let mut svg = String::new();
    draw(&mut svg, title, (x_label, y_label), (range(&xs), range(&ys)), series)
        .map_err(|error| Error::Plot { reason: format!("{title}: {error}") })?;
    Ok(svg)
}

/// The range of the values with a margin of a twentieth on both sides; never empty.
fn range(values: &[f64]) -> std::ops::Range<f64> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let margin = if high > low { (high - low) / 20.0 } else { 0.5 };
    low - margin..high + margin
}

type DrawResult = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw(
    svg: &mut String,
    title: &str,
    (x_label, y_label): (&str, &str),
    (x, y): (std::ops::Range<f64>, std::ops::Range<f64>),
    series: &[Series],
) -> DrawResult {
    let area = SVGBackend::with_string(svg, (720, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(x, y)?;
    chart.configure_mesh().x_desc(x_label).y_desc(y_label).light_line_style(WHITE).draw()?;
    for (line, colour) in series.iter().zip(COLOURS.into_iter().cycle()) {
        chart
            .draw_series(LineSeries::new(line.finite(), colour.stroke_width(2)))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_names_its_series_and_leaves_out_points_that_are_not_finite() -> Result<()> {
        let series = Series { name: "train".into(), points: vec![(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.7)] };
        let svg = line_chart_svg("accuracy", "epoch", "top-1", std::slice::from_ref(&series))?;
        assert!(svg.starts_with("<svg") && svg.contains("train") && svg.contains("epoch"), "{svg}");
        assert!(!svg.contains("NaN"));
        let one = Series { points: vec![(1.0, 0.5)], ..series };
        assert!(line_chart_svg("one point", "epoch", "top-1", &[one]).is_ok());
        assert!(line_chart_svg("nothing", "epoch", "top-1", &[]).is_err());
        Ok(())
    }
}
