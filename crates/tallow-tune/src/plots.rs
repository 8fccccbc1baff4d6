//! Plots of a study as SVG text. Needs the feature `plots`.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::space::short;
use crate::{Domain, Error, Result, Space, Trial};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (860, 420);
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(90, 90, 90);

fn svg(plot: &'static str, height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (SIZE.0, height)).into_drawing_area();
        let drawn = root.fill(&WHITE).map_err(Into::into).and_then(|()| draw(&root));
        let shown = drawn.and_then(|()| root.present().map_err(Into::into));
        shown.map_err(|error| Error::Plot { plot, reason: error.to_string() })?;
    }
    Ok(text)
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn label<'a>(size: u32, (horizontal, vertical): (HPos, VPos)) -> TextStyle<'a> {
    TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(horizontal, vertical))
}

/// The trials that have a score, in ascending order, with the score scaled to 0 (worst) to 1 (best).
fn scored(trials: &[Trial]) -> Vec<(&Trial, f64)> {
    let scores: Vec<(&Trial, f64)> =
        trials.iter().map(|trial| (trial, trial.score())).filter(|(_, score)| score.is_finite()).collect();
    let low = scores.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let high = scores.iter().map(|(_, score)| *score).fold(f64::NEG_INFINITY, f64::max);
    let mut ranked: Vec<(&Trial, f64)> =
        scores.into_iter().map(|(trial, score)| (trial, (score - low) / (high - low).max(1e-12))).collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1)); // the best trials are drawn last, on top
    ranked
}

/// Draws a vertical axis per parameter and one for the score, and a line per trial, from pale blue (worst) to vermilion
/// (best).
///
/// # Errors
/// The plot cannot be drawn.
pub fn parallel_coordinates(space: &Space, trials: &[Trial], metric: &str) -> Result<String> {
    svg("parallel coordinates", SIZE.1, |root| {
        let axes = space.len() + 1;
        let (left, right, top, bottom) = (70, SIZE.0 as i32 - 70, 60, SIZE.1 as i32 - 40);
        let x = |axis: usize| left + (right - left) * axis as i32 / (axes - 1) as i32;
        let y = |fraction: f64| bottom - (f64::from(bottom - top) * fraction).round() as i32;
        let place = |domain: &Domain, x: f64| match domain {
            Domain::Choice(choices) => (x + 0.5) / choices.len() as f64,
            _ => x,
        };
        let ranked = scored(trials);
        for (trial, quality) in &ranked {
            let mut line: Vec<(i32, i32)> = (space.parameters().enumerate())
                .map(|(axis, (_, domain))| (x(axis), y(place(domain, trial.point.0[axis]))))
                .collect();
            line.push((x(axes - 1), y(*quality)));
            let style = blend(*quality).stroke_width(if *quality > 0.999 { 3 } else { 1 });
            root.draw(&PathElement::new(line, style))?;
        }
        for axis in 0..axes {
            root.draw(&PathElement::new(vec![(x(axis), top), (x(axis), bottom)], BLACK))?;
        }
        let end = |axis: usize, name: &str, low: &str, high: &str| -> Drawn {
            let name = name.rsplit_once('.').map_or(name, |(_, key)| key);
            root.draw(&Text::new(name.to_owned(), (x(axis), 18), label(15, (HPos::Center, VPos::Center))))?;
            root.draw(&Text::new(high.to_owned(), (x(axis), top - 12), label(12, (HPos::Center, VPos::Center))))?;
            root.draw(&Text::new(low.to_owned(), (x(axis), bottom + 14), label(12, (HPos::Center, VPos::Center))))?;
            Ok(())
        };
        for (axis, (key, domain)) in space.parameters().enumerate() {
            match domain {
                Domain::Choice(_) => end(axis, key, "", "")?,
                _ => end(axis, key, &short(&domain.value(0.0)), &short(&domain.value(1.0)))?,
            }
        }
        let score =
            |trial: Option<&(&Trial, f64)>| trial.map_or(String::new(), |(trial, _)| format!("{:.4}", trial.score()));
        end(axes - 1, metric, &score(ranked.first()), &score(ranked.last()))?;
        for (axis, (_, domain)) in space.parameters().enumerate() {
            let Domain::Choice(choices) = domain else { continue };
            for (index, choice) in choices.iter().enumerate() {
                let at = (x(axis) + 6, y(place(domain, index as f64)));
                root.draw(&Text::new(short(choice), at, label(12, (HPos::Left, VPos::Center))))?;
            }
        }
        Ok(())
    })
}

/// The colour of a trial, from pale blue to vermilion.
fn blend(quality: f64) -> RGBColor {
    let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * quality).round() as u8;
    RGBColor(mix(190, VERMILION.0), mix(212, VERMILION.1), mix(232, VERMILION.2))
}

/// Draws a bar per parameter: the share of the score's variance that it explains on its own.
///
/// # Errors
/// The plot cannot be drawn.
pub fn importance_bars(space: &Space, shares: &[f64]) -> Result<String> {
    let height = 70 + 34 * space.len() as u32;
    svg("importance", height, |root| {
        let title = "share of the score's variance explained by each parameter on its own";
        root.draw(&Text::new(title, (SIZE.0 as i32 / 2, 22), label(16, (HPos::Center, VPos::Center))))?;
        let mut bars: Vec<(&str, f64)> = space.parameters().map(|(key, _)| key).zip(shares.iter().copied()).collect();
        bars.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (left, width) = (250, f64::from(SIZE.0) - 330.0);
        for (row, (key, share)) in bars.into_iter().enumerate() {
            let y = 62 + 34 * row as i32;
            let end = left + (width * share.clamp(0.0, 1.0)) as i32;
            root.draw(&Text::new(key.to_owned(), (left - 10, y), label(14, (HPos::Right, VPos::Center))))?;
            root.draw(&Rectangle::new([(left, y - 10), (end, y + 10)], BLUE.filled()))?;
            root.draw(&Text::new(format!("{share:.2}"), (end + 8, y), label(14, (HPos::Left, VPos::Center))))?;
        }
        Ok(())
    })
}

/// Draws the score of each trial in order, and the best so far.
///
/// # Errors
/// The plot cannot be drawn.
pub fn history(trials: &[Trial], metric: &str) -> Result<String> {
    svg("history", SIZE.1, |root| {
        let scores: Vec<(f64, f64)> = trials
            .iter()
            .map(|trial| (trial.id as f64, trial.score()))
            .filter(|(_, score)| score.is_finite())
            .collect();
        let low = scores.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
        let high = scores.iter().map(|(_, score)| *score).fold(f64::NEG_INFINITY, f64::max);
        if scores.is_empty() {
            return Err("no trial has a score".into());
        }
        let margin = 0.05 * (high - low).max(1e-6);
        let last = trials.len() as f64;
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(-0.5..last - 0.5, low - margin..high + margin)?;
        chart.configure_mesh().x_desc("trial").y_desc(metric).light_line_style(WHITE).draw()?;
        chart.draw_series(scores.iter().map(|point| Circle::new(*point, 4, BLUE.filled())))?;
        let mut best = f64::NEG_INFINITY;
        let so_far = scores.iter().map(|(trial, score)| {
            best = best.max(*score);
            (*trial, best)
        });
        chart.draw_series(LineSeries::new(so_far, GREY.stroke_width(2)))?;
        Ok(())
    })
}
