//! The kernels against the definition of convolution, over random shapes, on every instruction set.

use proptest::prelude::*;

use super::*;
use crate::cpu::testing::random;

/// Visits every product of the definition: (output, input, weight) as flat places.
fn each_product(g: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
    for (n, oy, ox, o) in indices(g.n, g.oh, g.ow, g.o) {
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

fn indices(a: usize, b: usize, c: usize, d: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
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
    let (shift, scale) = (random(g.o, 3), random(g.o, 4));
    let mut want_y = vec![0f64; dy.len()];
    let (mut want_dx, mut want_dw) = (vec![0f64; x.len()], vec![0f64; w.len()]);
    each_product(g, |y_at, x_at, w_at| {
        want_y[y_at] += f64::from(x[x_at]) * f64::from(w[w_at]);
        want_dx[x_at] += f64::from(dy[y_at]) * f64::from(w[w_at]);
        want_dw[w_at] += f64::from(dy[y_at]) * f64::from(x[x_at]);
    });
    let want_folded: Vec<f64> = (want_y.iter().enumerate())
        .map(|(i, y)| (y * f64::from(scale[i % g.o]) + f64::from(shift[i % g.o])).clamp(0.0, 6.0))
        .collect();
    let folded = Epilogue { shift: Some(&shift), activation: Activation::Relu6 };
    for isa in Isa::testable() {
        let conv = Convolution { geometry: *g, arithmetic: Arithmetic::F32(isa) };
        assert_close("y", &conv.forward(&x, plain(&w), Epilogue::default()), &want_y, g, isa);
        let scaled = Weights::Filters { values: &w, scale: Some(&scale) };
        assert_close("folded y", &conv.forward(&x, scaled, folded), &want_folded, g, isa);
        if let Some(packed) = conv.pack(&w, Some(&scale)) {
            assert_close("packed y", &conv.forward(&x, Weights::Packed(&packed), folded), &want_folded, g, isa);
        }
        assert_close("dx", &conv.input_grad(&dy, &w), &want_dx, g, isa);
        assert_close("dw", &conv.weight_grad(&x, &dy), &want_dw, g, isa);
    }
}

fn plain(filters: &[f32]) -> Weights<'_> {
    Weights::Filters { values: filters, scale: None }
}

/// In bf16: against the definition in f64 on rounded factors, whose products are exact.
fn check_bf16(g: &Geometry) {
    let rounded = |values: Vec<f32>| -> Vec<f32> {
        values.into_iter().map(|v| f32::from_bits(u32::from(crate::cpu::bf16::pack::round(v)) << 16)).collect()
    };
    let x = rounded(random(g.n * g.h * g.w * g.c, 0));
    let w = rounded(random(g.o * g.cg() * g.taps(), 1));
    let dy = rounded(random(g.n * g.oh * g.ow * g.o, 2));
    let bias = random(g.o, 3);
    let mut want_y: Vec<f64> = (0..dy.len()).map(|i| f64::from(bias[i % g.o])).collect();
    let (mut want_dx, mut want_dw) = (vec![0f64; x.len()], vec![0f64; w.len()]);
    each_product(g, |y_at, x_at, w_at| {
        want_y[y_at] += f64::from(x[x_at]) * f64::from(w[w_at]);
        want_dx[x_at] += f64::from(dy[y_at]) * f64::from(w[w_at]);
        want_dw[w_at] += f64::from(dy[y_at]) * f64::from(x[x_at]);
    });
    // A power of two, so that folding it into the weights rounds nothing.
    let scale: Vec<f32> = (0..g.o).map(|o| [0.5, 2.0, -1.0][o % 3]).collect();
    let want_folded: Vec<f64> = (want_y.iter().enumerate())
        .map(|(i, y)| ((y - f64::from(bias[i % g.o])) * f64::from(scale[i % g.o]) + f64::from(bias[i % g.o])).max(0.0))
        .collect();
    let shifted = Epilogue { shift: Some(&bias), ..Epilogue::default() };
    let folded = Epilogue { activation: Activation::Relu, ..shifted };
    for unit in Unit::available().into_iter().chain([Unit::PORTABLE]) {
        let conv = Convolution { geometry: *g, arithmetic: Arithmetic::Bf16(unit) };
        assert_close("bf16 y", &conv.forward(&x, plain(&w), shifted), &want_y, g, Isa::best());
        let scaled = Weights::Filters { values: &w, scale: Some(&scale) };
        assert_close("bf16 folded y", &conv.forward(&x, scaled, folded), &want_folded, g, Isa::best());
        assert_close("bf16 dx", &conv.input_grad(&dy, &w), &want_dx, g, Isa::best());
        assert_close("bf16 dw", &conv.weight_grad(&x, &dy), &want_dw, g, Isa::best());
    }
}

prop_compose! {
    fn geometry()(
        n in prop_oneof![3 => 1usize..4, 1 => 4usize..40],
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
        Geometry::new([n, cg * groups, h, w], [og * groups, cg, kh, kw], config).ok()
    }
}

/// Random shapes that are tried: fewer where a test runs slowly, under Valgrind or Miri.
fn cases() -> u32 {
    let default = if cfg!(miri) { 2 } else { 96 };
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn equals_the_definition(g in geometry()) {
        if let Some(g) = g {
            check(&g);
            if g.config.groups == 1 {
                check_bf16(&g);
            }
        }
    }
}

/// Few channels: several blocks of unfolded pixels, several panels, rows that start within a block.
#[test]
#[cfg_attr(miri, ignore = "takes hours in Miri")]
fn unfolded_images_equal_the_definition() {
    let config = ConvConfig { stride: (2, 2), padding: (1, 1), ..ConvConfig::default() };
    check(&Geometry { n: 3, h: 27, w: 31, c: 3, oh: 14, ow: 16, o: 70, kh: 3, kw: 3, config });
    let config = ConvConfig { stride: (1, 1), padding: (3, 3), ..ConvConfig::default() };
    check(&Geometry { n: 2, h: 17, w: 19, c: 1, oh: 17, ow: 19, o: 5, kh: 7, kw: 7, config });
}

#[test]
fn no_images_give_none_and_filters_no_gradient() {
    let g = Geometry { n: 0, h: 9, w: 7, c: 20, oh: 7, ow: 5, o: 33, kh: 3, kw: 3, config: ConvConfig::default() };
    for g in [g, Geometry { o: 20, config: ConvConfig { groups: 20, ..g.config }, ..g }] {
        let conv = Convolution { geometry: g, arithmetic: Arithmetic::F32(Isa::best()) };
        let w = random(g.o * g.cg() * g.taps(), 1);
        assert!(conv.forward(&[], plain(&w), Epilogue::default()).is_empty());
        assert!(conv.input_grad(&[], &w).is_empty());
        assert_eq!(conv.weight_grad(&[], &[]), vec![0.0; w.len()]);
    }
}

/// Panels that are full in every vector, tiles of one point of several images, and the images left over.
#[test]
#[cfg_attr(miri, ignore = "takes hours in Miri")]
fn whole_panels_equal_the_definition() {
    let config = ConvConfig { padding: (1, 1), ..ConvConfig::default() };
    for (n, side, c, o) in [(8, 4, 64, 128), (7, 3, 96, 64), (20, 2, 32, 192)] {
        check(&Geometry { n, h: side, w: side, c, oh: side, ow: side, o, kh: 3, kw: 3, config });
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes hours in Miri")]
fn sums_do_not_depend_on_the_thread_count() {
    let config = ConvConfig { padding: (1, 1), ..ConvConfig::default() };
    let g = Geometry { n: 40, h: 9, w: 7, c: 20, oh: 9, ow: 7, o: 33, kh: 3, kw: 3, config };
    let depthwise = Geometry { o: 20, config: ConvConfig { groups: 20, ..config }, ..g };
    for g in [g, depthwise] {
        let x = random(g.n * g.h * g.w * g.c, 0);
        let w = random(g.o * g.cg() * g.taps(), 1);
        let dy = random(g.n * g.oh * g.ow * g.o, 2);
        let run = |threads, arithmetic| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let conv = Convolution { geometry: g, arithmetic };
                let y = conv.forward(&x, plain(&w), Epilogue::default());
                (y, conv.input_grad(&dy, &w), conv.weight_grad(&x, &dy))
            })
        };
        let units = Unit::available().into_iter().chain([Unit::PORTABLE]).map(Arithmetic::Bf16);
        let units = units.filter(|_| bf16::serves(&g));
        for arithmetic in [Arithmetic::F32(Isa::best())].into_iter().chain(units) {
            let one = run(1, arithmetic);
            assert!((2..5).all(|threads| run(threads, arithmetic) == one), "{arithmetic:?} {g:?}");
        }
    }
}
