//! L-BFGS: the minimum of a smooth convex function of many numbers from its gradients alone.

/// Pairs of steps and gradient changes that stand for the curvature.
const MEMORY: usize = 10;
/// Trials along one direction.
const MAX_TRIALS: usize = 40;

/// Goes down from `x` until no component of the gradient is larger than `tolerance`, or `max_iterations` are done, or no
/// step lowers the value any more. `f` writes the gradient and gives the value; `precondition` multiplies a vector by some
/// symmetric guess of the inverse Hessian, from which the first direction and all others begin.
///
/// # Source
/// Nocedal & Wright 2006, algorithms 7.4 and 7.5, with a matrix in place of γ; the step length by bisection to the weak
/// Wolfe conditions (Lewis & Overton 2013).
pub(super) fn minimise(
    x: &mut Vec<f64>,
    tolerance: f64,
    max_iterations: usize,
    precondition: impl Fn(&mut [f64]),
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
) {
    let mut gradient = vec![0.0; x.len()];
    let mut value = f(x, &mut gradient);
    let mut pairs: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for _ in 0..max_iterations {
        if gradient.iter().all(|g| g.abs() <= tolerance) {
            return;
        }
        let direction = direction(&gradient, &pairs, &precondition);
        let slope = dot(&direction, &gradient);
        let (mut step, mut low, mut high) = (1.0, 0.0, f64::INFINITY);
        let (mut next, mut next_gradient) = (x.clone(), gradient.clone());
        let mut next_value = value;
        for _ in 0..MAX_TRIALS {
            next.iter_mut().zip(x.iter().zip(&direction)).for_each(|(next, (x, d))| *next = x + step * d);
            next_value = f(&next, &mut next_gradient);
            if next_value.is_nan() || next_value > value + 1e-4 * step * slope {
                high = step;
            } else if dot(&next_gradient, &direction) < 0.9 * slope {
                low = step; // Lower, but it goes further down from here.
            } else {
                break;
            }
            step = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * low };
        }
        // At the last digits nothing is lower any more.
        if next_value.is_nan() || next_value >= value {
            return;
        }
        let moved: Vec<f64> = next.iter().zip(x.iter()).map(|(next, x)| next - x).collect();
        let changed: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(next, g)| next - g).collect();
        let curvature = dot(&moved, &changed);
        if curvature > 0.0 {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push((moved, changed, 1.0 / curvature));
        }
        (*x, gradient, value) = (next, next_gradient, next_value);
    }
}

/// Minus the gradient times the inverse Hessian that the pairs stand for.
fn direction(gradient: &[f64], pairs: &[(Vec<f64>, Vec<f64>, f64)], precondition: &impl Fn(&mut [f64])) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for (moved, changed, rho) in pairs.iter().rev() {
        let share = rho * dot(moved, &q);
        q.iter_mut().zip(changed).for_each(|(q, y)| *q -= share * y);
        shares.push(share);
    }
    precondition(&mut q);
    if let Some((_, changed, rho)) = pairs.last() {
        let mut guessed = changed.clone();
        precondition(&mut guessed);
        let scale = 1.0 / (rho * dot(changed, &guessed));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((moved, changed, rho), share) in pairs.iter().zip(shares.iter().rev()) {
        let correction = share - rho * dot(changed, &q);
        q.iter_mut().zip(moved).for_each(|(q, s)| *q += correction * s);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_minimum_of_a_stretched_bowl_and_of_rosenbrocks_valley() {
        let mut x = vec![3.0, -2.0, 1.0];
        minimise(
            &mut x,
            1e-10,
            200,
            |_| {},
            |x, g| {
                let scales = [1.0, 100.0, 1e4];
                (0..3).for_each(|i| g[i] = 2.0 * scales[i] * (x[i] - i as f64));
                (0..3).map(|i| scales[i] * (x[i] - i as f64).powi(2)).sum()
            },
        );
        assert!((0..3).all(|i| (x[i] - i as f64).abs() < 1e-9), "{x:?}");

        let mut x = vec![-1.2, 1.0];
        minimise(
            &mut x,
            1e-10,
            500,
            |_| {},
            |x, g| {
                let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
                (g[0], g[1]) = (-2.0 * a - 400.0 * x[0] * b, 200.0 * b);
                a * a + 100.0 * b * b
            },
        );
        assert!((x[0] - 1.0).abs() < 1e-8 && (x[1] - 1.0).abs() < 1e-8, "{x:?}");
    }
}
