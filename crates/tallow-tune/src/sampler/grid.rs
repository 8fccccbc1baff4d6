//! Grid search.

use crate::{Point, Space};

/// Point number `trial` of the grid, in which the last parameter changes fastest; `None` after the last point. Ranges
/// of real numbers, and of more than `per_range` integers, contribute `per_range` values.
pub(super) fn suggest(space: &Space, trial: u64, per_range: usize) -> Option<Point> {
    let per_range = per_range.max(1);
    let mut rest = trial;
    let mut point = vec![0.0; space.len()];
    let parameters: Vec<_> = space.parameters().collect();
    for (x, (_, domain)) in point.iter_mut().zip(&parameters).rev() {
        let count = match domain {
            crate::Domain::Choice(choices) => choices.len(),
            _ => domain.cardinality().map_or(per_range, |values| values.min(per_range)),
        };
        *x = domain.grid((rest % count as u64) as usize, count);
        rest /= count as u64;
    }
    (rest == 0).then_some(Point(point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_each_combination_once() {
        let text = "a = { choices = [1, 2, 3] }\nb = { low = 0.0, high = 1.0 }";
        let space = Space::from_toml(&text.parse().expect("TOML")).expect("a space");
        let points: Vec<Point> = (0..).map_while(|trial| suggest(&space, trial, 3)).collect();
        let expected: Vec<Point> = (0..9).map(|i| Point(vec![f64::from(i / 3), f64::from(i % 3) / 2.0])).collect();
        assert_eq!(points, expected);
    }
}
