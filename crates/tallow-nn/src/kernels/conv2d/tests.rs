//! The kernels against the definition of convolution, over random shapes, on every instruction set.

use proptest::prelude::*;
use rand::Rng as _;

use super::*;
use crate::rng;

/// Visits every product of the definition: (output, input, weight) as flat places.
fn each_product(g: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
    for (n, oy, ox, o) in itertools4(g.n, g.oh, g.ow, g.o) {
        for (c, tap) in (0..g.cg()).flat_map(|c| (0..g.taps()).map(move |tap| (c, tap))) {
            let (dy, dx) = g.tap_offset(tap);
            let y = (oy * g.config.stride.0) as isize + dy;
            let x = (ox * g.config.stride.1) as isize + dx;
            if (0..g.h as isize).contains(&y) && (0..g.w as isize).contains(&x) {
                let channel = o / g.og() * g.cg() + c;
                visit(
                    ((n * g.oh + oy) * g.ow + ox) * g.o + o,
                    ((n * g.h + y as usize) * g.w + x as usize) * g.c + channel,
                    (o * g.cg() + c) * g.taps() + tap,
                );
            }
        }
    }
}

fn itertools4(a: usize, b: usize, c: usize, d: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}

fn random(len: usize, stream: u64) -> Vec<f32> {
    let mut rng = rng::keyed(7, stream, len as u64, rng::INIT);
    (0..len).map(|_| rng.random::<f32>() - 0.5).collect()
}

fn assert_close(what: &str, got: &[f32], want: &[f64], g: &Geometry, isa: Isa) {
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(error < 2e-5 * (1.0 + want.abs()), "{what}[{at}]: {got}, expected {want}; {isa:?} {g:?}");
    }
}

fn check(g: &Geometry) {
    let x = random(g.n * g.h * g.w * g.c, 0);
    let w = random(g.o * g.cg() * g.taps(), 1);
    let dy = random(g.n * g.oh * g.ow * g.o, 2);
    let bias = random(g.o, 3);
    let mut want_y: Vec<f64> = (0..dy.len()).map(|i| f64::from(bias[i % g.o])).collect();
    let (mut want_dx, mut want_dw) = (vec![0f64; x.len()], vec![0f64; w.len()]);
    each_product(g, |y_at, x_at, w_at| {
        want_y[y_at] += f64::from(x[x_at]) * f64::from(w[w_at]);
        want_dx[x_at] += f64::from(dy[y_at]) * f64::from(w[w_at]);
        want_dw[w_at] += f64::from(dy[y_at]) * f64::from(x[x_at]);
    });
    for isa in Isa::testable() {
        assert_close("y", &forward(isa, g, &x, &w, Some(&bias)), &want_y, g, isa);
        assert_close("dx", &input_grad(isa, g, &dy, &w), &want_dx, g, isa);
        assert_close("dw", &weight_gradient(isa, g, &x, &dy), &want_dw, g, isa);
    }
}

prop_compose! {
    fn geometry()(
        n in 1usize..4,
        (h, w) in (1usize..14, 1usize..14),
        (kh, kw) in (1usize..5, 1usize..5),
        stride in (1usize..4, 1usize..4),
        padding in (0usize..4, 0usize..4),
        dilation in (1usize..3, 1usize..3),
        (cg, og) in prop_oneof![Just((1, 1)), (1usize..40, 1usize..40)],
        groups in prop_oneof![3 => Just(1usize), 1 => 2usize..20],
    ) -> Option<Geometry> {
        let groups = if cg * og > 100 { 1 } else { groups };
        let config = ConvConfig { stride, padding, dilation, groups };
        let device = candle_core::Device::Cpu;
        let x = Tensor::zeros((n, cg * groups, h, w), candle_core::DType::F32, &device).ok()?;
        let weight = Tensor::zeros((og * groups, cg, kh, kw), candle_core::DType::F32, &device).ok()?;
        Geometry::new(&x, &weight, config).ok()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn equals_the_definition(g in geometry()) {
        if let Some(g) = g {
            check(&g);
        }
    }
}

#[test]
fn sums_do_not_depend_on_the_thread_count() {
    let config = ConvConfig { padding: (1, 1), ..ConvConfig::default() };
    let g = Geometry { n: 5, h: 9, w: 7, c: 20, oh: 9, ow: 7, o: 33, kh: 3, kw: 3, config };
    let depthwise = Geometry { o: 20, config: ConvConfig { groups: 20, ..config }, ..g };
    for g in [g, depthwise] {
        let x = random(g.n * g.h * g.w * g.c, 0);
        let w = random(g.o * g.cg() * g.taps(), 1);
        let dy = random(g.n * g.oh * g.ow * g.o, 2);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let isa = Isa::best();
            pool.install(|| {
                (forward(isa, &g, &x, &w, None), input_grad(isa, &g, &dy, &w), weight_gradient(isa, &g, &x, &dy))
            })
        };
        assert!(run(1) == run(2) && run(1) == run(3) && run(1) == run(4), "{g:?}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let device = candle_core::Device::Cpu;
    let zeros = |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &device).unwrap();
    let error = conv2d(&zeros(&[1, 3, 4, 4]), &zeros(&[8, 4, 3, 3]), None, ConvConfig::default()).unwrap_err();
    assert!(error.to_string().contains("[8, 4, 3, 3]"), "{error}");
    let error = conv2d(&zeros(&[1, 3, 2, 2]), &zeros(&[8, 3, 3, 3]), None, ConvConfig::default()).unwrap_err();
    assert!(error.to_string().contains("at least as large as the kernel"), "{error}");
}

#[test]
#[ignore = "a measurement: cargo test --release -p tallow-nn --lib conv2d::tests::speed -- --ignored --nocapture"]
fn speed() {
    // Channels, outputs, side, kernel, stride, groups.
    let shapes = [
        (64, 64, 32, 3, 1, 1),
        (128, 128, 16, 3, 1, 1),
        (256, 256, 8, 3, 1, 1),
        (512, 512, 4, 3, 1, 1),
        (64, 128, 32, 1, 1, 1),
        (64, 128, 32, 3, 2, 1),
        (96, 96, 16, 3, 1, 96),
        (3, 64, 32, 3, 1, 1),
    ];
    for (c, o, side, k, stride, groups) in shapes {
        let config = ConvConfig { stride: (stride, stride), padding: (k / 2, k / 2), dilation: (1, 1), groups };
        let out = (side + 2 * (k / 2) - k) / stride + 1;
        let g = Geometry { n: 64, h: side, w: side, c, oh: out, ow: out, o, kh: k, kw: k, config };
        let x = random(g.n * g.h * g.w * g.c, 0);
        let w = random(g.o * g.cg() * g.taps(), 1);
        let dy = random(g.n * g.oh * g.ow * g.o, 2);
        let flop = 2.0 * (dy.len() * g.cg() * g.taps()) as f64;
        let gflops = |work: &dyn Fn() -> Vec<f32>| {
            let seconds = |_| {
                let start = std::time::Instant::now();
                std::hint::black_box(work());
                start.elapsed().as_secs_f64()
            };
            let mut times: Vec<f64> = (0..10).map(seconds).skip(1).collect();
            times.sort_by(f64::total_cmp);
            flop / times[4] / 1e9
        };
        let isa = Isa::best();
        println!(
            "{c}→{o} {side}² {k}×{k}/{stride} groups {groups}: forward {:.0}, dX {:.0}, dW {:.0} GFLOP/s",
            gflops(&|| forward(isa, &g, &x, &w, None)),
            gflops(&|| input_grad(isa, &g, &dy, &w)),
            gflops(&|| weight_gradient(isa, &g, &x, &dy)),
        );
    }
}
