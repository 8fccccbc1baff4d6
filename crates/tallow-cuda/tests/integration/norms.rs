//! Norms, clipping, averages, Lookahead and SAM over many tensors, and products of matrices.

use tallow_cuda::op::muon::product;
use tallow_cuda::op::norms::{self, Of};
use tallow_cuda::op::tensors::{Parameter, Table};
use tallow_cuda::{Array, Bf16, Device, Result};

use crate::backend::on_each_device;
use crate::support::{close, get, put, random, room};

on_each_device!(norms_and_clipping, averages, lookahead_and_sam, products_of_matrices, tables_check_lengths);

/// Sizes of tensors, and their rows: one of several chunks, one of a single value.
const SIZES: [(usize, usize); 4] = [(1, 1), (35, 5), (40_000, 100), (257, 1)];

fn values(stream: u64) -> Vec<Vec<f32>> {
    SIZES.iter().enumerate().map(|(i, (len, _))| random::<f32>(*len, stream + i as u64)).collect()
}

fn squared(values: &[f32]) -> f64 {
    values.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
}

fn norms_and_clipping<D: Device>(device: &D) -> Result<()> {
    let (weights, slopes) = (values(10), values(20));
    let total = slopes.iter().map(|g| squared(g)).sum::<f64>().sqrt();
    for kind in ["large norm", "small norm", "value", "adaptive"] {
        let mut p = weights.iter().map(|p| put::<D, f32>(device, p)).collect::<Result<Vec<_>>>()?;
        let mut g = slopes.iter().map(|g| put::<D, f32>(device, g)).collect::<Result<Vec<_>>>()?;
        let parameters: Vec<_> = p
            .iter_mut()
            .zip(&mut g)
            .zip(SIZES)
            .map(|((p, g), (_, rows))| Parameter { gradient: Some(g.view_mut()), rows, ..Parameter::new(p.view_mut()) })
            .collect();
        // SAFETY: the arrays outlive the table.
        let table = unsafe { Table::new(device, &parameters)? };
        for (of, source) in [(Of::Values, &weights), (Of::Gradients, &slopes)] {
            let found = norms::squares(device, &table, of)?.download(device)?;
            for (found, values) in found.iter().zip(source) {
                let want = squared(values);
                assert!((found - want).abs() <= 1e-12 * want, "{found} for {want}");
            }
        }
        let scaled = |factor: f64| -> Vec<Vec<f32>> {
            slopes.iter().map(|g| g.iter().map(|g| g * factor as f32).collect()).collect()
        };
        let want = match kind {
            "large norm" => {
                let found = norms::clip_norm(device, &table, total / 3.0)?.download(device)?;
                assert!((found[0] - total).abs() < 1e-9 * total, "{found:?}");
                scaled(total / 3.0 / (total + 1e-6))
            }
            "small norm" => {
                norms::clip_norm(device, &table, 2.0 * total)?;
                slopes.clone()
            }
            "value" => {
                norms::clip_value(device, &table, 0.3)?;
                slopes.iter().map(|g| g.iter().map(|g| g.clamp(-0.3, 0.3)).collect()).collect()
            }
            _ => {
                norms::clip_adaptive(device, &table, 0.1)?;
                let rows = weights.iter().zip(&slopes).zip(SIZES);
                rows.map(|((p, g), (len, rows))| {
                    let width = len / rows;
                    let clipped = p.chunks(width).zip(g.chunks(width)).flat_map(|(p, g)| {
                        let (limit, norm) = (0.1 * squared(p).sqrt().max(1e-3), squared(g).sqrt());
                        let factor = if norm >= limit { (limit / norm.max(1e-6)) as f32 } else { 1.0 };
                        g.iter().map(move |g| g * factor)
                    });
                    clipped.collect()
                })
                .collect()
            }
        };
        for (g, want) in g.iter().zip(&want) {
            close(kind, &get(device, g)?, want, 1e-6);
        }
    }
    Ok(())
}

fn averages<D: Device>(device: &D) -> Result<()> {
    let (averages, mut weights) = (values(30), values(40));
    weights[1][3] = averages[1][3]; // equal: must not change by a bit
    let decay = 0.99;
    let mut p = averages.iter().map(|p| put::<D, f32>(device, p)).collect::<Result<Vec<_>>>()?;
    let mut g = weights.iter().map(|g| put::<D, f32>(device, g)).collect::<Result<Vec<_>>>()?;
    let parameters: Vec<_> = p
        .iter_mut()
        .zip(&mut g)
        .map(|(p, g)| Parameter { gradient: Some(g.view_mut()), ..Parameter::new(p.view_mut()) })
        .collect();
    // SAFETY: the arrays outlive the table.
    let table = unsafe { Table::new(device, &parameters)? };
    let number = Array::upload(device, &[decay])?;
    norms::ema(device, &table, number.view())?;
    for ((p, old), new) in p.iter().zip(&averages).zip(&weights) {
        let (keep, take) = (decay as f32, (1.0 - decay) as f32);
        let mixed = |(old, new): (&f32, &f32)| if old == new { *old } else { keep * old + take * new };
        close("the average", &get(device, p)?, &old.iter().zip(new).map(mixed).collect::<Vec<_>>(), 1e-7);
    }
    assert_eq!(get(device, &p[1])?[3], averages[1][3]);
    Ok(())
}

fn lookahead_and_sam<D: Device>(device: &D) -> Result<()> {
    let (weights, slopes, slow) = (values(50), values(60), values(70));
    for kind in ["lookahead", "sam", "adaptive sam"] {
        let mut p = weights.iter().map(|p| put::<D, f32>(device, p)).collect::<Result<Vec<_>>>()?;
        let mut g = slopes.iter().map(|g| put::<D, f32>(device, g)).collect::<Result<Vec<_>>>()?;
        let mut s = slow.iter().map(|s| put::<D, f32>(device, s)).collect::<Result<Vec<_>>>()?;
        let mut low = SIZES.iter().map(|(len, _)| room::<D, Bf16>(device, *len)).collect::<Result<Vec<_>>>()?;
        let parameters: Vec<_> = p
            .iter_mut()
            .zip(&mut g)
            .zip(&mut s)
            .zip(&mut low)
            .map(|(((p, g), s), low)| Parameter {
                gradient: Some(g.view_mut()),
                state: [Some(s.view_mut()), None, None, None],
                low: Some(low.view_mut()),
                ..Parameter::new(p.view_mut())
            })
            .collect();
        // SAFETY: the arrays outlive the table.
        let table = unsafe { Table::new(device, &parameters)? };
        let want: Vec<Vec<f32>> = if kind == "lookahead" {
            norms::lookahead(device, &table, 0.5)?;
            let step = |(slow, p): (&f32, &f32)| slow + 0.5 * (p - slow);
            slow.iter().zip(&weights).map(|(slow, p)| slow.iter().zip(p).map(step).collect()).collect()
        } else {
            let adaptive = kind == "adaptive sam";
            norms::sam_climb(device, &table, 0.05, adaptive)?;
            let by = |p: f32, g: f32| if adaptive { f64::from(g) * f64::from(p.abs()) } else { f64::from(g) };
            let pairs = || weights.iter().flatten().zip(slopes.iter().flatten());
            let norm = pairs().map(|(p, g)| by(*p, *g).powi(2)).sum::<f64>().sqrt();
            let scale = (0.05 / (norm + 1e-12)) as f32;
            let moved = |(p, g): (&f32, &f32)| p + if adaptive { p * p * g * scale } else { g * scale };
            weights.iter().zip(&slopes).map(|(p, g)| p.iter().zip(g).map(moved).collect()).collect()
        };
        for (i, want) in want.iter().enumerate() {
            let found = get(device, &p[i])?;
            close(kind, &found, want, 1e-6);
            let rounded: Vec<f32> = found.iter().map(|p| Bf16::from_f32(*p).to_f32()).collect();
            assert_eq!(get(device, &low[i])?, rounded, "{kind}: the bf16 copy");
        }
        if kind != "lookahead" {
            norms::restore(device, &table)?;
            for (p, want) in p.iter().zip(&weights) {
                assert_eq!(&get(device, p)?, want);
            }
        }
    }
    Ok(())
}

fn products_of_matrices<D: Device>(device: &D) -> Result<()> {
    for [m, n, k] in [[1, 1, 1], [5, 33, 17], [16, 16, 16], [20, 3, 50]] {
        let (a, b, d) = (random::<f32>(m * k, 1), random::<f32>(k * n, 2), random::<f32>(m * n, 3));
        let (left, right, added) = (put::<D, f32>(device, &a)?, put::<D, f32>(device, &b)?, put::<D, f32>(device, &d)?);
        for transposed in [false, true] {
            let at = |i: usize, j: usize| if transposed { b[j * k + i] } else { b[i * n + j] };
            let dot =
                |row: usize, column: usize| (0..k).map(|i| f64::from(a[row * k + i] * at(i, column))).sum::<f64>();
            let places = || (0..m).flat_map(|row| (0..n).map(move |column| (row, column)));
            for plus in [None, Some((0.5, added.view()))] {
                let mut y = room::<D, f32>(device, m * n)?;
                let pair = (left.view(), right.view());
                product(device, [m, n, k], transposed, pair, (2.0, plus), y.view_mut())?;
                let factor = if plus.is_some() { 0.5 } else { 0.0 };
                let want = places().map(|(r, c)| 2.0 * dot(r, c) as f32 + factor * d[r * n + c]).collect::<Vec<_>>();
                close("the product", &get(device, &y)?, &want, 1e-5);
            }
        }
    }
    Ok(())
}

fn tables_check_lengths<D: Device>(device: &D) -> Result<()> {
    let (mut p, mut g) = (room::<D, f32>(device, 6)?, room::<D, f32>(device, 5)?);
    let parameter = Parameter { gradient: Some(g.view_mut()), ..Parameter::new(p.view_mut()) };
    // SAFETY: the table is refused.
    assert!(unsafe { Table::new(device, &[parameter]) }.is_err());
    let parameter = Parameter { rows: 4, ..Parameter::new(p.view_mut()) };
    // SAFETY: as above.
    assert!(unsafe { Table::new(device, &[parameter]) }.is_err());
    // SAFETY: the array outlives the table.
    let table = unsafe { Table::new(device, &[Parameter::new(p.view_mut())])? };
    assert!(norms::lookahead(device, &table, 0.5).is_err(), "there is no state");
    assert!(norms::squares(device, &table, Of::State(1)).is_err());
    Ok(())
}
