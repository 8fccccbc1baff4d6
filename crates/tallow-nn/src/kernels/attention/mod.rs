//! Multi-head attention: `softmax(scale · q·kᵀ + bias) · v` for every head, with all gradients.
//!
//! One task computes one head of one image, a block of queries at a time, so that the scores stay in
//! the cache; what the forward keeps is two numbers a query (its largest score and its softmax's
//! denominator), from which the backward computes the probabilities again (Dao et al. 2022,
//! "FlashAttention", on a CPU). The order of every sum is fixed by the shapes alone.

use candle_core::Tensor;
use rayon::prelude::*;

use super::memory::{SharedMut, Uninit, contiguous, values};
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::macs;
use crate::tape::{self, Backward, Output, emit};

mod head;

use head::{Head, Rows, RowsMut, Softmax};

const OP: &str = "attention";

/// Attention of queries over keys and values that are three tensors.
///
/// # Shapes
/// `q` `[b, nq, heads·dk]`, `k` `[b, nk, heads·dk]`, `v` `[b, nk, heads·dv]`; `bias`, if any,
/// `[heads, nq, nk]` or `[p, heads, nq, nk]` where p divides b: image i is given bias i mod p.
/// The result is `[b, nq, heads·dv]`.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    scale: f32,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let found = || format!("q {:?}, k {:?}, v {:?}, {heads} heads", q.dims(), k.dims(), v.dims());
    let expected = "q [b, nq, heads·dk], k [b, nk, heads·dk], v [b, nk, heads·dv], nothing empty";
    let (&[b, nq, qw], &[kb, nk, kw], &[vb, vn, vw]) = (q.dims(), k.dims(), v.dims()) else {
        return Err(Error::input(OP, expected, found()));
    };
    let divides = heads > 0 && qw % heads == 0 && vw % heads == 0;
    if !divides || (b, qw) != (kb, kw) || (b, nk) != (vb, vn) || b * nq * nk * qw * vw == 0 {
        return Err(Error::input(OP, expected, found()));
    }
    let sizes = Sizes { b, heads, nq, nk, dk: qw / heads, dv: vw / heads, scale };
    let sources = vec![contiguous(q)?, contiguous(k)?, contiguous(v)?];
    run(sizes, sources, vec![q, k, v], bias)
}

/// Self-attention from the one projection that gives queries, keys and values: timm's `qkv`.
///
/// # Shapes
/// `qkv` `[b, n, 3·heads·d]`, laid out (3, heads, d); `bias` as in [`attention`]. The result is
/// `[b, n, heads·d]`.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
pub fn attention_qkv(qkv: &Tensor, heads: usize, scale: f32, bias: Option<&Tensor>) -> Result<Tensor> {
    let found = || format!("qkv {:?}, {heads} heads", qkv.dims());
    let expected = "qkv [b, n, 3·heads·d], nothing empty";
    let &[b, n, width] = qkv.dims() else {
        return Err(Error::input(OP, expected, found()));
    };
    if heads == 0 || width % (3 * heads) != 0 || b * n * width == 0 {
        return Err(Error::input(OP, expected, found()));
    }
    let d = width / (3 * heads);
    let sizes = Sizes { b, heads, nq: n, nk: n, dk: d, dv: d, scale };
    run(sizes, vec![contiguous(qkv)?], vec![qkv], bias)
}

/// Every size of one attention.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    b: usize,
    heads: usize,
    nq: usize,
    nk: usize,
    dk: usize,
    dv: usize,
    scale: f32,
}

impl Sizes {
    /// Where q, k and v lie: (source, first column, columns of the source). With one source they are its thirds.
    fn factors(&self, sources: usize) -> [(usize, usize, usize); 3] {
        let (qk, v) = (self.heads * self.dk, self.heads * self.dv);
        if sources == 1 {
            [(0, 0, 3 * qk), (0, qk, 3 * qk), (0, 2 * qk, 3 * qk)]
        } else {
            [(0, 0, qk), (1, 0, qk), (2, 0, v)]
        }
    }
}

fn run<'a>(
    sizes: Sizes,
    sources: Vec<Tensor>,
    mut inputs: Vec<&'a Tensor>,
    bias: Option<&'a Tensor>,
) -> Result<Tensor> {
    let Sizes { b, heads, nq, nk, dk, dv, .. } = sizes;
    macs::add(b * heads * nq * nk * (dk + dv));
    let bias_values = match bias {
        None => None,
        Some(bias) => {
            let period = match *bias.dims() {
                [h, q, k] if (h, q, k) == (heads, nq, nk) => 1,
                [p, h, q, k] if (h, q, k) == (heads, nq, nk) && p > 0 && b % p == 0 => p,
                _ => {
                    let expected = format!("a bias [{heads}, {nq}, {nk}] or [p, {heads}, {nq}, {nk}], p dividing {b}");
                    return Err(Error::input(OP, expected, format!("{:?}", bias.dims())));
                }
            };
            inputs.push(bias);
            Some((contiguous(bias)?, period))
        }
    };
    let op = Attention { sizes, sources, bias: bias_values, softmaxes: Vec::new() };
    let (y, softmaxes) = op.forward()?;
    let output = Output::contiguous(y, &[b, nq, heads * dv]);
    let packed = op.sources.len() == 1;
    let y = if tape::records(&inputs) {
        emit(output, &inputs, Attention { softmaxes, ..op })?
    } else {
        output.into_tensor()?
    };
    Ok(record(y, &inputs, || Op::Attention { heads, scale: sizes.scale, packed, bias: bias.is_some() }))
}

struct Attention {
    sizes: Sizes,
    /// q, k and v, or the one tensor that holds all three.
    sources: Vec<Tensor>,
    /// The bias and its period p.
    bias: Option<(Tensor, usize)>,
    /// `[b, heads, nq]`.
    softmaxes: Vec<Softmax>,
}

impl Attention {
    fn forward(&self) -> Result<(Vec<f32>, Vec<Softmax>)> {
        let Sizes { b, heads, nq, dv, .. } = self.sizes;
        let sources = self.sources.iter().map(|t| values(OP, t)).collect::<Result<Vec<_>>>()?;
        let slices: Vec<&[f32]> = sources.iter().map(|s| &**s).collect();
        let bias = self.bias.as_ref().map(|(bias, _)| values(OP, bias)).transpose()?;
        let mut y = Uninit::new(b * nq * heads * dv);
        let mut softmaxes = vec![Softmax::default(); b * heads * nq];
        let out = SharedMut::new(y.as_mut_ptr());
        softmaxes.par_chunks_mut(nq).enumerate().for_each(|(index, softmaxes)| {
            let (image, head) = (index / heads, index % heads);
            let bias = bias.as_ref().map(|bias| self.bias_of(bias, image, head));
            let start = (image * nq * heads + head) * dv;
            // SAFETY: this head's columns of this image are this task's alone, and lie within the buffer.
            unsafe {
                let out = RowsMut::new(out, start, heads * dv);
                self.head(&slices, image, head).forward(out, softmaxes, bias);
            }
        });
        // SAFETY: the heads of all images cover the buffer.
        Ok((unsafe { y.finish() }, softmaxes))
    }

    fn head<'a>(&self, sources: &[&'a [f32]], image: usize, head: usize) -> Head<'a> {
        let Sizes { nq, nk, dk, dv, scale, .. } = self.sizes;
        let [q, k, v] = self.sizes.factors(sources.len());
        let factor = |(source, column, width): (usize, usize, usize), rows: usize, d: usize| {
            Rows::new(&sources[source][image * rows * width + column + head * d..], width, rows, d)
        };
        Head { q: factor(q, nq, dk), k: factor(k, nk, dk), v: factor(v, nk, dv), scale }
    }

    /// The bias of one head of one image: `[nq, nk]`.
    fn bias_of<'a>(&self, bias: &'a [f32], image: usize, head: usize) -> &'a [f32] {
        let Sizes { heads, nq, nk, .. } = self.sizes;
        let period = self.bias.as_ref().map_or(1, |(_, period)| *period);
        &bias[((image % period) * heads + head) * nq * nk..][..nq * nk]
    }
}

impl Backward for Attention {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Sizes { b, heads, nq, nk, dk, dv, .. } = self.sizes;
        let grad = contiguous(grad)?;
        let dy = values(OP, &grad)?;
        let sources = self.sources.iter().map(|t| values(OP, t)).collect::<Result<Vec<_>>>()?;
        let slices: Vec<&[f32]> = sources.iter().map(|s| &**s).collect();
        let bias = self.bias.as_ref().map(|(bias, _)| values(OP, bias)).transpose()?;
        let mut results: Vec<Uninit> = slices.iter().map(|s| Uninit::new(s.len())).collect();
        let starts: Vec<SharedMut> = results.iter_mut().map(|r| SharedMut::new(r.as_mut_ptr())).collect();
        let bias_needed = bias.is_some() && needs.last() == Some(&true);
        let mut bias_grad =
            vec![0f32; if bias_needed { self.bias.as_ref().map_or(0, |(t, _)| t.elem_count()) } else { 0 }];
        let one_head = |image: usize, head: usize, bias_grad: Option<&mut [f32]>| {
            let [q, k, v] = self.sizes.factors(slices.len());
            let output = |(source, column, width): (usize, usize, usize), rows: usize, d: usize| {
                let start = image * rows * width + column + head * d;
                // SAFETY: this head's columns of this image are this task's alone, and lie within the buffer.
                unsafe { RowsMut::new(starts[source], start, width) }
            };
            let out = [output(q, nq, dk), output(k, nk, dk), output(v, nk, dv)];
            let dy = Rows::new(&dy[(image * nq * heads + head) * dv..], heads * dv, nq, dv);
            let softmaxes = &self.softmaxes[(image * heads + head) * nq..][..nq];
            let bias = bias.as_ref().map(|bias| self.bias_of(bias, image, head));
            // SAFETY: as above.
            unsafe { self.head(&slices, image, head).backward(dy, softmaxes, bias, out, bias_grad) };
        };
        match (&self.bias, bias_needed) {
            // A bias gathers its gradient from every image it was given to, in their order.
            (Some((_, period)), true) => {
                bias_grad.par_chunks_mut(nq * nk).enumerate().for_each(|(index, bias_grad)| {
                    for image in (index / heads..b).step_by(*period) {
                        one_head(image, index % heads, Some(&mut *bias_grad));
                    }
                })
            }
            _ => (0..b * heads).into_par_iter().for_each(|index| one_head(index / heads, index % heads, None)),
        }
        let mut grads = Vec::with_capacity(needs.len());
        for (result, source) in results.into_iter().zip(&self.sources) {
            // SAFETY: the heads of all images cover the buffers.
            let data = unsafe { result.finish() };
            grads.push(Some(Output::contiguous(data, source.dims()).into_tensor()?));
        }
        if let Some((bias, _)) = &self.bias {
            grads.push(if bias_needed {
                Some(Output::contiguous(bias_grad, bias.dims()).into_tensor()?)
            } else {
                None
            });
        }
        Ok(grads)
    }
}
