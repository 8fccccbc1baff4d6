//! Line charts as SVG text, such as learning curves. Needs the feature `plots`.

use std::ops::Range;

use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
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

/// A line chart with one pair of axes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LineChart<'a> {
    /// The title above the chart.
    pub title: &'a str,
    /// The name of the horizontal axis.
    pub x_label: &'a str,
    /// The name of the vertical axis.
    pub y_label: &'a str,
    /// The lines.
    pub series: &'a [Series],
    /// Whether the horizontal axis is logarithmic; then points with x ≤ 0 are left out.
    pub log_x: bool,
    /// The highest y shown; higher points are drawn at the upper edge.
    pub y_max: Option<f64>,
    /// Vertical lines at these x, with their names in the legend.
    pub marks: &'a [(f64, String)],
}

/// The lines to draw and the ranges of the axes.
struct Layout {
    lines: Vec<Vec<(f64, f64)>>,
    x: Range<f64>,
    y: Range<f64>,
}

impl LineChart<'_> {
    /// Draws the chart in 720 × 400 pixels, as SVG text.
    ///
    /// # Errors
    /// [`Error::Plot`] if no series has a finite point.
    pub fn svg(&self) -> Result<String> {
        let fail = |reason: String| Error::Plot { reason: format!("{}: {reason}", self.title) };
        let layout = self.layout().ok_or_else(|| fail("no finite point to draw".into()))?;
        let mut svg = String::new();
        self.draw(&mut svg, &layout).map_err(|error| fail(error.to_string()))?;
        Ok(svg)
    }

    /// `None` without a finite point.
    fn layout(&self) -> Option<Layout> {
        let visible = |(x, y): (f64, f64)| (!self.log_x || x > 0.0).then_some((x, y.min(self.y_max.unwrap_or(y))));
        let line = |series: &Series| series.finite().into_iter().filter_map(visible).collect::<Vec<_>>();
        let lines: Vec<Vec<(f64, f64)>> = self.series.iter().map(line).collect();
        let (xs, ys): (Vec<f64>, Vec<f64>) = lines.iter().flatten().copied().unzip();
        if xs.is_empty() {
            return None;
        }
        let x = match self.log_x {
            true => {
                let Range { start, end } = range(&xs.iter().map(|x| x.log10()).collect::<Vec<_>>());
                10f64.powf(start)..10f64.powf(end)
            }
            false => range(&xs),
        };
        Some(Layout { lines, x, y: range(&ys) })
    }

    fn draw(&self, svg: &mut String, layout: &Layout) -> DrawResult {
        let area = SVGBackend::with_string(svg, (720, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(&area);
        builder.caption(self.title, ("sans-serif", 18)).margin(12).x_label_area_size(40).y_label_area_size(56);
        let (x, y) = (layout.x.clone(), layout.y.clone());
        match self.log_x {
            true => self.draw_lines(builder.build_cartesian_2d(x.log_scale(), y)?, layout, &|x| format!("{x:.0e}"))?,
            false => self.draw_lines(builder.build_cartesian_2d(x, y)?, layout, &|x| {
                <RangedCoordf64 as ValueFormatter<f64>>::format(x)
            })?,
        }
        area.present()
    }

    fn draw_lines<'b, X>(
        &self,
        mut chart: ChartContext<'b, SVGBackend<'b>, Cartesian2d<X, RangedCoordf64>>,
        layout: &Layout,
        x_format: &dyn Fn(&f64) -> String,
    ) -> DrawResult
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.x_label).y_desc(self.y_label).light_line_style(WHITE).x_label_formatter(x_format).draw()?;
        let mut colours = COLOURS.into_iter().cycle();
        for ((series, line), colour) in self.series.iter().zip(&layout.lines).zip(&mut colours) {
            chart
                .draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?
                .label(&series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        for ((x, name), colour) in self.marks.iter().zip(&mut colours) {
            let ends = [(*x, layout.y.start), (*x, layout.y.end)];
            chart
                .draw_series(DashedLineSeries::new(ends, 5, 4, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        let position = if self.log_x { SeriesLabelPosition::LowerLeft } else { SeriesLabelPosition::LowerRight };
        let mut labels = chart.configure_series_labels();
        labels.position(position).background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()
    }
}

/// The range of the values with a margin of a twentieth on both sides; never empty.
fn range(values: &[f64]) -> Range<f64> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let margin = if high > low { (high - low) / 20.0 } else { 0.5 };
    low - margin..high + margin
}

type DrawResult = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(series: &[Series]) -> LineChart<'_> {
        LineChart { title: "accuracy", x_label: "epoch", y_label: "top-1", series, ..LineChart::default() }
    }

    #[test]
    fn a_chart_names_its_series_and_leaves_out_points_that_are_not_finite() -> Result<()> {
        let series = Series { name: "train".into(), points: vec![(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.7)] };
        let svg = chart(std::slice::from_ref(&series)).svg()?;
        assert!(svg.starts_with("<svg") && svg.contains("train") && svg.contains("epoch"), "{svg}");
        assert!(!svg.contains("NaN"));
        let one = Series { points: vec![(1.0, 0.5)], ..series };
        assert!(chart(&[one]).svg().is_ok());
        assert!(chart(&[]).svg().is_err());
        Ok(())
    }

    #[test]
    fn a_logarithmic_chart_is_clipped_and_marks_a_place() -> Result<()> {
        let points = vec![(0.0, 1.0), (1e-4, 2.3), (1e-2, 0.7), (1.0, 900.0)];
        let series = [Series { name: "loss".into(), points }];
        let marks = [(0.02, "suggestion 0.02".to_owned())];
        let chart = LineChart { log_x: true, y_max: Some(3.0), marks: &marks, ..chart(&series) };
        let layout = chart.layout().expect("points");
        assert_eq!(layout.lines, [[(1e-4, 2.3), (1e-2, 0.7), (1.0, 3.0)]], "without x = 0, and clipped at 3");
        assert!(layout.y.end < 3.2 && layout.x.start > 5e-5, "{:?}, {:?}", layout.x, layout.y);
        let svg = chart.svg()?;
        assert!(svg.contains("suggestion 0.02") && svg.contains("1e-2"), "{svg}");
        Ok(())
    }
}
