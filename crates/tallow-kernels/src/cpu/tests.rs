//! Kernels against their definitions, over odd sizes and over sizes of several tasks. Convolutions have tests of their
//! own; every gradient is compared with finite differences in tallow-nn.

use super::activation::{self, Activation};
use super::attention::{Attention, Bias, Factors, Sizes};
use super::norm::{BatchNorm, layer_norm, layer_norm_backward, moments, sums};
use super::pool::{PoolConfig, Pooling, global_avg, global_avg_backward};
use super::scale::Groups;
use super::testing::random;
use super::tokens::{Part, concat, narrow, narrow_backward};
use super::{CHUNK, dropout, elementwise, scale, softmax, tokens};

fn assert_close(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*got) - want).abs() < 1e-4 * (1.0 + want.abs()), "{what}[{i}]: {got}, expected {want}");
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
fn elementwise_kernels() {
    for len in [0, 1, 37, 2 * CHUNK + 5] {
        let (a, b) = (random(len, 1), random(len, 2));
        let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(elementwise::add(&a, &b), sum);
        let (relu, active) = elementwise::add_relu(&a, &b, true);
        assert_eq!(relu, sum.iter().map(|v| v.max(0.0)).collect::<Vec<_>>());
        let masked = elementwise::mask(&a, &active.expect("asked for"));
        assert!(masked.iter().zip(a.iter().zip(&sum)).all(|(m, (a, sum))| *m == if *sum > 0.0 { *a } else { 0.0 }));

        let silu: Vec<f64> = wide(&a).iter().map(|x| x / (1.0 + (-x).exp())).collect();
        assert_close("silu", &activation::forward(&a, Activation::Silu), &silu);
        let slopes = a.iter().zip(&b).map(|(x, dy)| if *x > 0.0 { f64::from(*dy) } else { 0.0 }).collect::<Vec<_>>();
        assert_close("relu's gradient", &activation::backward(&a, &b, Activation::Relu), &slopes);

        let (dropped, bits) = dropout::forward(&a, 2.0, |first, words| {
            words.iter_mut().enumerate().for_each(|(i, word)| *word = (first + i) as u32 | 1);
        });
        let kept = |i: usize| bits[i / 32] >> (i % 32) & 1 == 1;
        assert!(dropped.iter().enumerate().all(|(i, y)| *y == if kept(i) { 2.0 * a[i] } else { 0.0 }));
        assert_eq!(dropout::backward(&a, &bits, 2.0), dropped);
    }
    assert_eq!(dropout::scale_samples(&[1.0, 2.0, f32::NAN, 4.0], &[3.0, 0.0]), [3.0, 6.0, 0.0, 0.0]);
}

#[test]
fn softmax_and_cross_entropy() {
    for (rows, k) in [(1, 1), (5, 3), (7, 100), (40, 1000)] {
        let (z, t) = (random(rows * k, 1), random(rows * k, 2));
        let mut want = Vec::new();
        for row in wide(&z).chunks(k) {
            let total: f64 = row.iter().map(|z| z.exp()).sum();
            want.extend(row.iter().map(|z| z.exp() / total));
        }
        let y = softmax::forward(&z, k);
        assert_close("softmax", &y, &want);
        let dx = softmax::backward(&y, &t, k);
        assert!(dx.chunks(k).all(|row| row.iter().sum::<f32>().abs() < 1e-5), "a shift of all logits changes nothing");

        let loss: f64 = want.iter().zip(&t).map(|(p, t)| -f64::from(*t) * p.ln()).sum();
        let (sum, probabilities) = softmax::cross_entropy(&z, &t, k);
        assert!((sum - loss).abs() < 1e-3 * (1.0 + loss.abs()), "{sum}, expected {loss}");
        assert_eq!(probabilities, y);
        let target_grad: Vec<f64> = want.iter().map(|p| -p.ln()).collect();
        assert_close("the targets' gradient", &softmax::target_grad(&z, k, 1.0), &target_grad);
        let logit_grad = softmax::logit_grad(&y, &t, k, 1.0);
        assert!(logit_grad.chunks(k).all(|row| row.iter().sum::<f32>().abs() < 1e-3));
    }
}

#[test]
fn normalisation() {
    for (rows, c) in [(1, 1), (3, 5), (200, 33), (700, 64)] {
        let (x, dy) = (random(rows * c, 1), random(rows * c, 2));
        let (gamma, beta) = (random(c, 3), random(c, 4));
        let column = |j: usize| (0..rows).map(|i| f64::from(x[i * c + j])).collect::<Vec<_>>();
        let total: Vec<f64> = (0..c).map(|j| column(j).iter().sum()).collect();
        assert_close("sums", &sums(&x, c), &total);
        let mean: Vec<f64> = total.iter().map(|t| t / rows as f64).collect();
        let var: Vec<f64> =
            (0..c).map(|j| column(j).iter().map(|x| (x - mean[j]).powi(2)).sum::<f64>() / rows as f64).collect();
        let statistics = moments(&x, c);
        assert_close("mean", &statistics.0, &mean);
        assert_close("variance", &statistics.1, &var);

        let eps = 0.1;
        let norm = BatchNorm::new((&statistics.0, &statistics.1), &gamma, &beta, eps, Activation::Identity, true);
        let normal = |i: usize| (f64::from(x[i]) - mean[i % c]) / (var[i % c] + f64::from(eps)).sqrt();
        let y: Vec<f64> = (0..x.len()).map(|i| normal(i) * f64::from(gamma[i % c]) + f64::from(beta[i % c])).collect();
        assert_close("batch norm", &norm.forward(&x), &y);
        let gradients = norm.backward(&x, &dy, true);
        assert_close("beta's gradient", &gradients.beta, &wide(&sums(&dy, c)));
        let gamma_grad: Vec<f64> =
            (0..c).map(|j| (0..rows).map(|i| normal(i * c + j) * f64::from(dy[i * c + j])).sum()).collect();
        assert_close("gamma's gradient", &gradients.gamma, &gamma_grad);
        let dx = gradients.x.expect("asked for");
        assert!(sums(&dx, c).iter().all(|sum| sum.abs() < 1e-3), "a shift of a column changes nothing");

        let (y, stats) = layer_norm(&x, &gamma, &beta, eps);
        let mut want = Vec::new();
        for row in wide(&x).chunks(c) {
            let mean = row.iter().sum::<f64>() / c as f64;
            let var = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / c as f64;
            let normal = row.iter().map(|x| (x - mean) / (var + f64::from(eps)).sqrt());
            want.extend(normal.zip(gamma.iter().zip(&beta)).map(|(x, (g, b))| x * f64::from(*g) + f64::from(*b)));
        }
        assert_close("layer norm", &y, &want);
        let gradients = layer_norm_backward(&x, &gamma, &stats, &dy);
        assert_close("beta's gradient", &gradients.beta, &wide(&sums(&dy, c)));
        assert!(gradients.x.chunks(c).all(|row| row.iter().sum::<f32>().abs() < 1e-3));
    }
}

#[test]
fn pooling() {
    let windows =
        [((1, 1), (1, 1), (0, 0)), ((2, 3), (2, 1), (1, 1)), ((3, 2), (1, 3), (1, 0)), ((5, 5), (2, 2), (2, 2))];
    for (shape, (kernel, stride, padding), ceil_mode) in [[2, 7, 6, 5], [1, 9, 5, 16], [3, 5, 8, 19]]
        .into_iter()
        .flat_map(|shape| windows.into_iter().flat_map(move |w| [false, true].map(|ceil_mode| (shape, w, ceil_mode))))
    {
        let config = PoolConfig { kernel, stride, padding, ceil_mode };
        let pooling = Pooling::new(shape, config);
        let [n, h, w, c] = shape;
        let [_, oh, ow, _] = pooling.output();
        let x = random(n * h * w * c, 1);
        let mut want = Vec::new();
        for i in 0..n * oh * ow * c {
            let (image, oy, ox, channel) = (i / (oh * ow * c), i / (ow * c) % oh, i / c % ow, i % c);
            let taps = (0..kernel.0).flat_map(|ky| (0..kernel.1).map(move |kx| (ky, kx)));
            let inside = taps.filter_map(|(ky, kx)| {
                let y = (oy * stride.0 + ky).checked_sub(padding.0).filter(|y| *y < h)?;
                let x = (ox * stride.1 + kx).checked_sub(padding.1).filter(|x| *x < w)?;
                Some(((image * h + y) * w + x) * c + channel)
            });
            want.push(inside.map(|at| x[at]).fold(f32::NEG_INFINITY, f32::max));
        }
        let (y, taps) = pooling.max(&x, true);
        assert_eq!(y, want, "{shape:?} {config:?}");
        assert_eq!(pooling.max(&x, false).0, want);
        // Both poolings are homogeneous of degree 1: y·dy = x·dx.
        let dy = random(y.len(), 2);
        let close = |what: &str, y: &[f32], dx: &[f32]| {
            let (a, b) = (dot(y, &dy), dot(&x, dx));
            assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{what} {shape:?} {config:?}: {a}, {b}");
        };
        close("max", &y, &pooling.max_backward(&taps, &dy));
        for count_include_pad in [false, true] {
            close("mean", &pooling.avg(&x, count_include_pad), &pooling.avg_backward(&dy, count_include_pad));
        }
    }
    let x = random(2 * 300 * 7, 3);
    let (y, taps) = Pooling::global([2, 20, 15, 7]).max(&x, true);
    let largest = |i: usize| (0..300).map(|p| x[(i / 7 * 300 + p) * 7 + i % 7]).fold(f32::NEG_INFINITY, f32::max);
    assert!(y.iter().enumerate().all(|(i, y)| *y == largest(i)));
    let dx = Pooling::global([2, 20, 15, 7]).max_backward(&taps, &y);
    assert_eq!(dx.iter().filter(|dx| **dx != 0.0).count(), 14);
    let mean: Vec<f64> =
        (0..14).map(|i| (0..300).map(|p| f64::from(x[(i / 7 * 300 + p) * 7 + i % 7])).sum::<f64>() / 300.0).collect();
    assert_close("global mean", &global_avg(&x, 300, 7), &mean);
    assert_eq!(global_avg_backward(&[4.0, 8.0], 2, 1), [2.0, 2.0, 4.0, 4.0]);
}

#[test]
#[cfg_attr(miri, ignore = "gemm asks the processor by inline assembly")]
fn attention_of_one_tensor_and_of_three() {
    for (images, heads, queries, width, period) in
        [(1, 1, 1, 1, 0), (2, 3, 5, 4, 1), (4, 2, 33, 7, 2), (1, 2, 300, 8, 0)]
    {
        let sizes = Sizes { images, heads, queries, keys: queries, key_width: width, value_width: width };
        let row = heads * width;
        let qkv = random(images * queries * 3 * row, 1);
        let third = |i: usize| qkv.chunks(row).skip(i).step_by(3).flatten().copied().collect::<Vec<f32>>();
        let [q, k, v] = [0, 1, 2].map(third);
        let bias = random(period * heads * queries * queries, 2);
        let bias = (period > 0).then_some(Bias { values: &bias, period });
        let packed = Attention { sizes, scale: 0.7, factors: Factors::Packed(&qkv), bias };
        let apart = Attention { sizes, scale: 0.7, factors: Factors::Apart([&q, &k, &v]), bias };

        let (y, softmaxes) = apart.forward();
        let mut want = vec![0f64; y.len()];
        for (image, head, query) in
            (0..images * heads * queries).map(|i| (i / (heads * queries), i / queries % heads, i % queries))
        {
            let at = |token: usize| (image * queries + token) * row + head * width;
            let scores = (0..queries).map(|key| {
                let bias = bias.map_or(0.0, |bias| {
                    bias.values[((image % period * heads + head) * queries + query) * queries + key]
                });
                (0.7 * dot(&q[at(query)..][..width], &k[at(key)..][..width]) + f64::from(bias)).exp()
            });
            let scores: Vec<f64> = scores.collect();
            let total: f64 = scores.iter().sum();
            for (key, score) in scores.iter().enumerate() {
                for j in 0..width {
                    want[at(query) + j] += score / total * f64::from(v[at(key) + j]);
                }
            }
        }
        assert_close("attention", &y, &want);
        assert_close("packed attention", &packed.forward().0, &want);

        let dy = random(y.len(), 3);
        let gradients = apart.backward(&dy, &softmaxes, true);
        // The result is linear in the values.
        let (a, b) = (dot(&y, &dy), dot(&v, &gradients.factors[2]));
        assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{a}, {b}");
        let together = packed.backward(&dy, &softmaxes, true);
        for (i, gradient) in gradients.factors.iter().enumerate() {
            let third: Vec<f32> = together.factors[0].chunks(row).skip(i).step_by(3).flatten().copied().collect();
            assert_close("packed gradient", &third, &wide(gradient));
        }
        assert_eq!(together.bias.is_some(), period > 0);
        let bias_grads = (together.bias.unwrap_or_default(), gradients.bias.unwrap_or_default());
        assert_close("packed bias gradient", &bias_grads.0, &wide(&bias_grads.1));
    }
}

#[test]
fn scales_and_tokens() {
    for (count, rows, c) in [(1, 1, 1), (3, 7, 5), (2, 3000, 17)] {
        let groups = Groups { count, channels: c };
        let (x, factors) = (random(count * rows * c, 1), random(count * c, 2));
        let factor = |i: usize| i / (rows * c) * c + i % c;
        let y = scale::forward(groups, &x, &factors);
        assert!(y.iter().enumerate().all(|(i, y)| *y == x[i] * factors[factor(i)]));
        let dy = random(x.len(), 3);
        let mut want = vec![0f64; factors.len()];
        for (i, (x, dy)) in x.iter().zip(&dy).enumerate() {
            want[factor(i)] += f64::from(*x) * f64::from(*dy);
        }
        assert_close("the factors' gradient", &scale::factor_grad(groups, &dy, &x), &want);
    }
    assert_eq!(tokens::add_to_each(&[1.0, 2.0, 3.0, 4.0], &[10.0, 20.0]), [11.0, 22.0, 13.0, 24.0]);
    let parts =
        [Part { values: &[9.0], len: 1, shared: true }, Part { values: &[1.0, 2.0, 3.0, 4.0], len: 2, shared: false }];
    assert_eq!(concat(2, &parts), [9.0, 1.0, 2.0, 9.0, 3.0, 4.0]);
    assert_eq!(narrow(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 1, 2), [2.0, 3.0, 5.0, 6.0]);
    assert_eq!(narrow_backward(&[2.0, 3.0, 5.0, 6.0], 3, 1, 2), [0.0, 2.0, 3.0, 0.0, 5.0, 6.0]);
}
